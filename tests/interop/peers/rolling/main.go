// The grpc-go client of test_rolling_restart: calls until its input ends, and tells which servers answered.
//
//	rolling TARGET WORKERS [CA]
//
// It prints "server NAME" when the first call is answered by a server that none was before, "failure TEXT" when a call
// fails, after which that worker makes no more, and in the end "calls NUMBER", those that succeeded.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// raw is a codec for messages that are octets; servers must be told that they are the usual ones.
type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

type report struct {
	mutex sync.Mutex
	seen  map[string]bool
	calls int
}

// add takes note of a call; false if it failed.
func (r *report) add(name string, err error) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err != nil {
		fmt.Printf("failure %q\n", err.Error())
		return false
	}
	r.calls++
	if !r.seen[name] {
		r.seen[name] = true
		fmt.Println("server", name)
	}
	return true
}

func unary(connection *grpc.ClientConn) (string, error) {
	request, reply := make([]byte, 2000), []byte{}
	err := connection.Invoke(context.Background(), "/test.Rolling/One", &request, &reply)
	return string(reply), err
}

func stream(connection *grpc.ClientConn) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	call, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Rolling/Down")
	if err != nil {
		return "", err
	}
	request := make([]byte, 2000)
	if err := call.SendMsg(&request); err != nil && err != io.EOF {
		return "", err
	}
	if err := call.CloseSend(); err != nil {
		return "", err
	}
	reply := []byte{}
	for {
		if err := call.RecvMsg(&reply); err == io.EOF {
			return string(reply), nil
		} else if err != nil {
			return "", err
		}
	}
}

func main() {
	var security credentials.TransportCredentials = insecure.NewCredentials()
	var err error
	if len(os.Args) > 3 {
		security, err = credentials.NewClientTLSFromFile(os.Args[3], "localhost")
	}
	workers, wrong := strconv.Atoi(os.Args[2])
	connection, failed := grpc.NewClient("passthrough:"+os.Args[1],
		grpc.WithTransportCredentials(security), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil || wrong != nil || failed != nil {
		fmt.Fprintln(os.Stderr, err, wrong, failed)
		os.Exit(2)
	}
	done := make(chan struct{})
	result := &report{seen: map[string]bool{}}
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			call := unary
			if worker%2 == 1 {
				call = stream
			}
			for result.add(call(connection)) {
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(done)
	all.Wait()
	fmt.Println("calls", result.calls)
}
