// A grpc-go server with reflection, for test_reflection_peers: health, and a service of interop that answers nothing.
//
//	reflecting v1|v1alpha|both
//
// It prints its port, and ends with its input.
package main

import (
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	alphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	testpb.RegisterTestServiceServer(server, testpb.UnimplementedTestServiceServer{})
	options := reflection.ServerOptions{Services: server}
	if os.Args[1] != "v1alpha" {
		reflectionpb.RegisterServerReflectionServer(server, reflection.NewServerV1(options))
	}
	if os.Args[1] != "v1" {
		alphapb.RegisterServerReflectionServer(server, reflection.NewServer(options))
	}
	go server.Serve(listener)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Stop()
}
