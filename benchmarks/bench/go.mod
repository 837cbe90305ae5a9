module github.com/mainstay-go/mainstay/benchmarks/bench

go 1.26.0
