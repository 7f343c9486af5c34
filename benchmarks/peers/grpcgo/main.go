// grpc-go as a peer of the benchmarks: the methods of bench.proto, served and called the way its users do it.
//
//	grpcgo serve               prints the port it listens on, and serves until it is killed
//	grpcgo client PORT CASE    CASE is a case of benchmarks/work.py as JSON; prints what its clients print
package main

//go:generate protoc -I ../.. --go_out=benchpb --go_opt=paths=source_relative --go_opt=Mbench.proto=wirelane/benchmarks/grpcgo/benchpb --go-grpc_out=benchpb --go-grpc_opt=paths=source_relative --go-grpc_opt=Mbench.proto=wirelane/benchmarks/grpcgo/benchpb bench.proto

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
)

const receiveLimit = 4 << 20

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "serve":
		return serve()
	case len(arguments) == 3 && arguments[0] == "client":
		var work benchCase
		if err := json.Unmarshal([]byte(arguments[2]), &work); err != nil {
			return err
		}
		return client(arguments[1], work)
	}
	return fmt.Errorf("usage: grpcgo serve | grpcgo client PORT CASE")
}
