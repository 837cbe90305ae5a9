package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

type kafkaBroker struct{}

// kafkaConfig is of one broker that is its own controller, with sessions as short as the trial needs them.
const kafkaConfig = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
num.partitions=12
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
`

// kafkaSession is how soon the partitions of a consumer that died go to another.
const kafkaSession = 2 * time.Second

func (kafkaBroker) command(ctx context.Context, cache, dir string, ports [2]int) ([]string, error) {
	complete, err := installed(cache, "kafka-*/complete")
	if err != nil {
		return nil, err
	}
	config, data := filepath.Join(dir, "server.properties"), filepath.Join(dir, "log")
	text := fmt.Sprintf(kafkaConfig, address(ports[0]), address(ports[1]), data)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	java := []string{
		"java", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(filepath.Dir(complete), "*"),
	}
	format := append(java[1:len(java):len(java)],
		"kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config)
	if out, err := exec.CommandContext(ctx, java[0], format...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's storage: %w: %s", err, out)
	}
	return append(java, "kafka.Kafka", config), nil
}

func (kafkaBroker) dial(_ context.Context, port int) (driver.Broker, func(), error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address(port)))
	if err != nil {
		return nil, nil, err
	}
	return kafkapubsub.New(client, &kafkapubsub.Options{SessionTimeout: kafkaSession}), client.Close, nil
}

func (kafkaBroker) order(bool) string { return "by partitions" }
func (kafkaBroker) keeps() bool       { return true }
