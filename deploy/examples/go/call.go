// One upstream call with a leased credential.   call BROKER PROVIDER MODEL URL
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"credbroker/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

func main() {
	target, provider, model, url := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	connection, err := grpc.Dial(target, grpc.WithInsecure())
	check(err)
	defer connection.Close()
	broker := credbroker.NewBrokerServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	grant, err := broker.Acquire(ctx, &credbroker.AcquireRequest{
		Providers: []string{provider}, Model: model, MaxWait: durationpb.New(5 * time.Second)})
	check(err)
	outcome := &credbroker.ReportItem{LeaseId: grant.LeaseId}
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	check(err)
	for _, each := range grant.RequestHeaders {
		request.Header.Set(each.Name, string(each.Value))
	}
	if answer, err := http.DefaultClient.Do(request); err != nil {
		outcome.Outcome = credbroker.Outcome_OUTCOME_NETWORK_ERROR
	} else {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		outcome.HttpStatus = int32(answer.StatusCode)
		for name := range answer.Header {
			outcome.Headers = append(outcome.Headers, &credbroker.Header{
				Name: strings.ToLower(name), Value: []byte(answer.Header.Get(name))})
		}
	}
	reported, err := broker.Report(ctx, &credbroker.ReportRequest{Items: []*credbroker.ReportItem{outcome}})
	check(err)

	status := "no answer"
	if outcome.HttpStatus != 0 {
		status = fmt.Sprint(outcome.HttpStatus)
	}
	fmt.Println(grant.CredentialId, status, reported.Results[0].Advice)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
