package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "wirelane/benchmarks/grpcgo/benchpb"
)

// benchCase mirrors Case of benchmarks/work.py, where its fields are explained.
type benchCase struct {
	Kind       string      `json:"kind"`
	InFlight   int         `json:"in_flight"`
	Warm       int         `json:"warm"`
	Operations int         `json:"operations"`
	Seconds    float64     `json:"seconds"`
	Payload    int         `json:"payload"`
	Metadata   [][2]string `json:"metadata"`
	NewPair    bool        `json:"new_pair"`
	Timeout    float64     `json:"timeout"`
}

type caller struct {
	benchCase
	echo    pb.EchoClient
	request *pb.Request
	pairs   metadata.MD
	input   *bufio.Reader
}

func client(port string, work benchCase) error {
	connection, err := grpc.NewClient("127.0.0.1:"+port,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(receiveLimit)))
	if err != nil {
		return err
	}
	defer connection.Close()
	c := &caller{benchCase: work, echo: pb.NewEchoClient(connection), input: bufio.NewReader(os.Stdin)}
	c.request = &pb.Request{Name: "wirelane", Count: 1}
	if work.Payload > 0 {
		c.request = &pb.Request{Name: "large", Payload: make([]byte, work.Payload)}
	}
	if len(work.Metadata) > 0 {
		c.pairs = metadata.MD{}
		for _, pair := range work.Metadata {
			c.pairs.Append(pair[0], pair[1])
		}
	}
	return c.measure()
}

// telling is how long a warm-up takes that says how fast a stack is.
const telling = 100 * time.Millisecond

func (c *caller) measure() error {
	operations, err := c.warmUp()
	if err != nil {
		return err
	}
	runtime.GC()
	c.mark("ready")
	cpu, began := cpuSeconds(), time.Now()
	if err := c.run(operations); err != nil {
		return err
	}
	report, err := json.Marshal(map[string]float64{
		"operations": float64(operations),
		"seconds":    time.Since(began).Seconds(),
		"cpu":        cpuSeconds() - cpu,
	})
	fmt.Println(string(report))
	return err
}

// warmUp returns how many operations to measure: a whole number for each call in flight.
func (c *caller) warmUp() (int, error) {
	if err := c.oneCall(0, 0); err != nil { // the connection is there
		return 0, err
	}
	if c.Kind == "hold" {
		return c.Operations, c.unary(c.Warm, 1)
	}
	for count := c.Warm; ; count *= 4 {
		began := time.Now()
		if err := c.run(count); err != nil {
			return 0, err
		}
		if took := time.Since(began); took >= telling {
			operations := int(float64(count) / took.Seconds() * c.Seconds)
			return max(1, (operations+c.InFlight-1)/c.InFlight) * c.InFlight, nil
		}
	}
}

// mark lets the parent measure: it answers with a line when it has.
func (c *caller) mark(what string) {
	fmt.Println(what)
	_, _ = c.input.ReadString('\n')
}

func (c *caller) run(count int) error {
	switch c.Kind {
	case "unary":
		return c.unary(count, c.InFlight)
	case "server_stream":
		return c.serverStream(count)
	case "client_stream":
		return c.clientStream(count)
	case "bidi_stream":
		return c.bidiStream(count)
	case "hold":
		return c.hold(count)
	}
	return fmt.Errorf("no such kind of case: %q", c.Kind)
}

func (c *caller) unary(count, inFlight int) error {
	var workers errgroup.Group
	for worker := range inFlight {
		workers.Go(func() error {
			for call := range count / inFlight {
				if err := c.oneCall(worker, call); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return workers.Wait()
}

func (c *caller) oneCall(worker, call int) error {
	ctx := context.Background()
	if c.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout*float64(time.Second)))
		defer cancel()
		ctx = limited
	}
	if c.pairs != nil {
		ctx = metadata.NewOutgoingContext(ctx, c.pairs)
	}
	if c.NewPair {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", strconv.Itoa(worker)+"-"+strconv.Itoa(call))
	}
	reply, err := c.echo.Unary(ctx, c.request)
	if err == nil && len(reply.Payload) != len(c.request.Payload) {
		err = fmt.Errorf("a payload of %d bytes came back as %d", len(c.request.Payload), len(reply.Payload))
	}
	return err
}

func counted(received, count int) error {
	if received != count {
		return fmt.Errorf("%d of %d messages", received, count)
	}
	return nil
}

func (c *caller) serverStream(count int) error {
	stream, err := c.echo.ServerStream(context.Background(), &pb.Request{Name: "x", Count: int32(count)})
	if err != nil {
		return err
	}
	received := 0
	for {
		_, err := stream.Recv()
		if err == io.EOF {
			return counted(received, count)
		}
		if err != nil {
			return err
		}
		received++
	}
}

func (c *caller) clientStream(count int) error {
	stream, err := c.echo.ClientStream(context.Background())
	if err != nil {
		return err
	}
	for number := range count {
		if err := stream.Send(&pb.Request{Count: int32(number)}); err != nil {
			return err
		}
	}
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	return counted(int(reply.Number), count)
}

func (c *caller) bidiStream(count int) error {
	stream, err := c.echo.BidiStream(context.Background())
	if err != nil {
		return err
	}
	var sender errgroup.Group
	sender.Go(func() error {
		for number := range count {
			if err := stream.Send(&pb.Request{Count: int32(number)}); err != nil {
				return err
			}
		}
		return stream.CloseSend()
	})
	received := 0
	for {
		_, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		received++
	}
	if err := sender.Wait(); err != nil {
		return err
	}
	return counted(received, count)
}

func (c *caller) hold(count int) error {
	ctx := context.Background()
	var calls errgroup.Group
	for range count {
		calls.Go(func() error {
			_, err := c.echo.Hold(ctx, c.request)
			return err
		})
	}
	if _, err := c.echo.Held(ctx, &pb.Request{Count: int32(count)}); err != nil {
		return err
	}
	c.mark("held")
	if _, err := c.echo.Release(ctx, &pb.Request{}); err != nil {
		return err
	}
	return calls.Wait()
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
