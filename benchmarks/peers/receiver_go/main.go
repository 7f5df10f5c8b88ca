// A plain Go receiver with the same duties: Standard Webhooks checked, PutRecords in batches, 202 once stored.
//
// net/http, aws-sdk-go-v2. Its settings are its environment: LISTEN, SECRET (whsec_…), STREAM, AWS_*.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	maxBody    = 716800
	maxRecords = 500
	linger     = 5 * time.Millisecond
	inFlight   = 32
	deadline   = 600 * time.Millisecond
)

type event struct {
	data   []byte
	key    string
	stored chan bool
}

var (
	queue  = make(chan event, 10000)
	key    []byte
	stream = os.Getenv("STREAM")
)

// known says whether the request is signed by the Standard Webhooks' rules, and fresh.
func known(r *http.Request, body []byte) bool {
	id, stamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	wanted := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, given := range strings.Fields(r.Header.Get("webhook-signature")) {
		if hmac.Equal([]byte(given), []byte(wanted)) {
			return true
		}
	}
	return false
}

func events(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, `{"error":"too_large"}`, http.StatusRequestEntityTooLarge)
		return
	}
	if !known(r, body) {
		http.Error(w, `{"error":"bad_signature"}`, http.StatusUnauthorized)
		return
	}
	var value struct {
		ConversationID string `json:"conversationId"`
	}
	if json.Unmarshal(body, &value) != nil {
		http.Error(w, `{"error":"malformed_json"}`, http.StatusBadRequest)
		return
	}
	bodyHash := sha256.Sum256(body)
	hash := sha256.Sum256(append([]byte("standard-webhooks\x00"+r.Header.Get("webhook-id")+"\x000\x00"), bodyHash[:]...))
	identity := fmt.Sprintf("%x", hash[:16])
	line := fmt.Appendf(nil, `{"v":1,"id":"%s","idFrom":"delivery","receivedAt":%d,"body":%s}`, identity, time.Now().UnixMilli(), body)
	one := event{line, strconv.Itoa(int(crc32.ChecksumIEEE([]byte(value.ConversationID)))), make(chan bool, 1)}
	queue <- one
	select {
	case ok := <-one.stored:
		if ok {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, `{"accepted":1,"ids":["%s"]}`, identity)
			return
		}
	case <-time.After(850 * time.Millisecond):
	}
	w.Header().Set("Retry-After", "2")
	http.Error(w, `{"error":"unavailable"}`, http.StatusServiceUnavailable)
}

// batch gathers what comes within the linger, and sends it while a place is free.
func batch(client *kinesis.Client) {
	places := make(chan struct{}, inFlight)
	for first := range queue {
		taken := []event{first}
		timer := time.NewTimer(linger)
	gather:
		for len(taken) < maxRecords {
			select {
			case next := <-queue:
				taken = append(taken, next)
			case <-timer.C:
				break gather
			}
		}
		timer.Stop()
		places <- struct{}{}
		go func() {
			send(client, taken)
			<-places
		}()
	}
}

func send(client *kinesis.Client, taken []event) {
	records := make([]types.PutRecordsRequestEntry, len(taken))
	for i, one := range taken {
		records[i] = types.PutRecordsRequestEntry{Data: one.data, PartitionKey: aws.String(one.key)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	answer, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(stream), Records: records})
	for i, one := range taken {
		one.stored <- err == nil && answer.Records[i].ErrorCode == nil
	}
}

func main() {
	var err error
	if key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("SECRET"), "whsec_")); err != nil {
		log.Fatal(err)
	}
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	client := kinesis.NewFromConfig(settings, func(o *kinesis.Options) {
		o.BaseEndpoint = aws.String(os.Getenv("AWS_ENDPOINT_URL_KINESIS"))
		o.RetryMaxAttempts = 1
	})
	go batch(client)
	http.HandleFunc("POST /v1/events", events)
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), nil))
}
