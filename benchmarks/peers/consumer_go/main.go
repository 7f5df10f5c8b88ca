// A careful consumer in Go: aws-sdk-go-v2, 16 calls at once, ten entries a call, single entries sent again.
//
// `consumer_go URL FILE`: FILE holds one event a line. Prints CPU and wall time an event, what was accepted and what was
// given up. It decodes no daemon's lines, checks nothing, keeps no watermark, has no dead letters, no masking.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

const (
	entriesACall = 10
	callsAtOnce  = 16
	retries      = 5
	firstPause   = 100 * time.Millisecond
)

type event struct {
	InteractionID  string          `json:"interactionId"`
	ConversationID string          `json:"conversationId"`
	EventType      string          `json:"eventType"`
	Timestamp      string          `json:"timestamp"`
	Payload        json.RawMessage `json:"payload"`
}

type detail struct {
	CorrelationID   string            `json:"correlationId"`
	EventSource     string            `json:"eventSource"`
	EventType       string            `json:"eventType"`
	OriginalEventID string            `json:"originalEventId"`
	ConversationID  string            `json:"conversationId"`
	EventTimestamp  string            `json:"eventTimestamp"`
	SourceSystem    string            `json:"sourceSystem"`
	RoutingVersion  string            `json:"routingVersion"`
	Payload         json.RawMessage   `json:"payload"`
	Metadata        map[string]string `json:"metadata"`
}

type sent struct {
	entry    types.PutEventsRequestEntry
	failures int
}

var metadata = map[string]string{"enrichmentPipeline": "x", "complianceTag": "unmasked", "region": "us-east-1"}

func transform(text []byte) types.PutEventsRequestEntry {
	var from event
	if err := json.Unmarshal(text, &from); err != nil {
		log.Fatal(err)
	}
	made, err := json.Marshal(detail{
		"6f1c7f0e-7d6b-4d0b-9f6e-1a2b3c4d5e6f", "cxone.webhook", from.EventType, from.InteractionID, from.ConversationID,
		from.Timestamp, "nice.cxone", "1.0", from.Payload, metadata,
	})
	if err != nil {
		log.Fatal(err)
	}
	return types.PutEventsRequestEntry{
		Source: aws.String("nice.cxone.webhook"), DetailType: aws.String(from.EventType),
		Detail: aws.String(string(made)), EventBusName: aws.String("default"),
	}
}

// pipe sends entries; `open` counts those that are neither accepted nor given up.
type pipe struct {
	client            *eventbridge.Client
	calls             chan []sent
	again             chan sent
	open              sync.WaitGroup
	accepted, givenUp atomic.Int64
}

func (p *pipe) retry(one sent) {
	pause := time.Duration(rand.Float64() * float64(firstPause) * float64(int(1)<<one.failures))
	time.AfterFunc(pause, func() { p.again <- one })
}

func (p *pipe) call(taken []sent) {
	entries := make([]types.PutEventsRequestEntry, len(taken))
	for i, one := range taken {
		entries[i] = one.entry
	}
	answer, err := p.client.PutEvents(context.Background(), &eventbridge.PutEventsInput{Entries: entries})
	for i, one := range taken {
		switch {
		case err != nil:
			p.retry(one)
		case answer.Entries[i].ErrorCode == nil:
			p.accepted.Add(1)
			p.open.Done()
		case one.failures >= retries:
			p.givenUp.Add(1)
			p.open.Done()
		default:
			one.failures++
			p.retry(one)
		}
	}
}

// pack puts failed entries together again, ten a call, or what there is after 10 ms.
func (p *pipe) pack() {
	for first := range p.again {
		taken := []sent{first}
		timer := time.NewTimer(10 * time.Millisecond)
	gather:
		for len(taken) < entriesACall {
			select {
			case next := <-p.again:
				taken = append(taken, next)
			case <-timer.C:
				break gather
			}
		}
		timer.Stop()
		p.calls <- taken
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func lines(path string) [][]byte {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	var found [][]byte
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 2_000_000)
	for scanner.Scan() {
		found = append(found, append([]byte(nil), scanner.Bytes()...))
	}
	return found
}

func main() {
	texts := lines(os.Args[2])
	client := eventbridge.New(eventbridge.Options{
		BaseEndpoint: aws.String(os.Args[1]), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
	p := &pipe{client: client, calls: make(chan []sent), again: make(chan sent, 100_000)}
	for range callsAtOnce {
		go func() {
			for taken := range p.calls {
				p.call(taken)
			}
		}()
	}
	go p.pack()
	warm := []types.PutEventsRequestEntry{transform(texts[0])}
	if _, err := client.PutEvents(context.Background(), &eventbridge.PutEventsInput{Entries: warm}); err != nil {
		log.Fatal(err)
	}
	before, start := cpu(), time.Now()
	p.open.Add(len(texts))
	for at := 0; at < len(texts); at += entriesACall {
		var taken []sent
		for _, text := range texts[at:min(at+entriesACall, len(texts))] {
			taken = append(taken, sent{transform(text), 0})
		}
		p.calls <- taken
	}
	p.open.Wait()
	each := func(time time.Duration) float64 { return float64(time.Microseconds()) / float64(len(texts)) }
	fmt.Printf("{\"cpuUs\": %.4f, \"wallUs\": %.4f, \"accepted\": %d, \"givenUp\": %d}\n",
		each(cpu()-before), each(time.Since(start)), p.accepted.Load(), p.givenUp.Load())
}
