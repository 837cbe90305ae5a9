package grpcclient

import (
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// roundRobin spreads calls over all addresses of a name.
	roundRobin = `[{"round_robin":{}}]`
	// watchHealth leaves out addresses whose health service says NOT_SERVING for the server as a whole.
	watchHealth = `{"serviceName":""}`
)

// serviceConfig returns the user's service config, with what it does not say of balancing and health.
func (o *Options) serviceConfig() (string, error) {
	config := map[string]json.RawMessage{}
	if o.ServiceConfig != "" {
		if err := json.Unmarshal([]byte(o.ServiceConfig), &config); err != nil {
			return "", fmt.Errorf("ServiceConfig: %w", err)
		}
		if config == nil {
			return "", errors.New("ServiceConfig: null is no config")
		}
	}
	_, policy := config["loadBalancingPolicy"] // the older name
	if _, ok := config["loadBalancingConfig"]; !ok && !policy {
		config["loadBalancingConfig"] = json.RawMessage(roundRobin)
	}
	if _, ok := config["healthCheckConfig"]; !ok {
		config["healthCheckConfig"] = json.RawMessage(watchHealth)
	}
	whole, err := json.Marshal(config)
	return string(whole), err
}
