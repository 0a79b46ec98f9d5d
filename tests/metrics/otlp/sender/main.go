// SPDX-License-Identifier: GPL-3.0-or-later

// Sender sends the metrics of its pool to an OpenTelemetry collector once, by the SDK's exporter, and
// prints them as the core writes them. OTEL_EXPORTER_OTLP_ENDPOINT says where the collector is.
package main

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyotel"
)

func send() error {
	pool, err := slabby.New(4096, 100, slabby.WithName("sent"), slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	if err != nil {
		return err
	}
	for range 40 {
		if _, err := pool.Allocate(); err != nil {
			return err
		}
	}
	ctx := context.Background()
	exporter, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return err
	}
	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(slabbyotel.NewProducer()))
	if err := metric.NewMeterProvider(metric.WithReader(reader)).Shutdown(ctx); err != nil {
		return err
	}
	text, err := slabby.MetricsText()
	fmt.Print(text)
	return err
}

func main() {
	if err := send(); err != nil {
		log.Fatal(err)
	}
}
