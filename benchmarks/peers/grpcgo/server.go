package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"

	pb "wirelane/benchmarks/grpcgo/benchpb"
)

type echo struct {
	pb.UnimplementedEchoServer

	lock    sync.Mutex
	changed *sync.Cond
	held    int32
	release chan struct{}
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	service := &echo{release: make(chan struct{})}
	service.changed = sync.NewCond(&service.lock)
	// Without an option grpc-go has no limit on concurrent streams.
	server := grpc.NewServer(grpc.MaxRecvMsgSize(receiveLimit))
	pb.RegisterEchoServer(server, service)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return server.Serve(listener)
}

func answer(request *pb.Request) *pb.Reply {
	return &pb.Reply{Message: request.Name, Number: request.Count, Payload: request.Payload}
}

func (*echo) Unary(_ context.Context, request *pb.Request) (*pb.Reply, error) {
	return answer(request), nil
}

func (*echo) ServerStream(request *pb.Request, stream grpc.ServerStreamingServer[pb.Reply]) error {
	for number := range request.Count {
		if err := stream.Send(&pb.Reply{Number: number}); err != nil {
			return err
		}
	}
	return nil
}

func (*echo) ClientStream(stream grpc.ClientStreamingServer[pb.Request, pb.Reply]) error {
	count := int32(0)
	for {
		_, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&pb.Reply{Number: count})
		}
		if err != nil {
			return err
		}
		count++
	}
}

func (*echo) BidiStream(stream grpc.BidiStreamingServer[pb.Request, pb.Reply]) error {
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(answer(request)); err != nil {
			return err
		}
	}
}

func (e *echo) Hold(_ context.Context, request *pb.Request) (*pb.Reply, error) {
	e.lock.Lock()
	e.held++
	release := e.release
	e.changed.Broadcast()
	e.lock.Unlock()
	<-release
	return answer(request), nil
}

func (e *echo) Held(_ context.Context, request *pb.Request) (*pb.Reply, error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	for e.held < request.Count {
		e.changed.Wait()
	}
	return &pb.Reply{Number: e.held}, nil
}

func (e *echo) Release(context.Context, *pb.Request) (*pb.Reply, error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	count := e.held
	close(e.release)
	e.held, e.release = 0, make(chan struct{})
	return &pb.Reply{Number: count}, nil
}
