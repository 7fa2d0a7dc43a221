// promhttp: a page of gauges served by the Go client library, to compare with.
//
//	promhttp ADDRESS GAUGES
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: promhttp ADDRESS GAUGES")
		os.Exit(2)
	}
	gauges, _ := strconv.Atoi(os.Args[2])
	sockets := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tcp_connections", Help: "TCP sockets."},
		[]string{"role", "port", "state"})
	for i := 0; i < gauges; i++ {
		sockets.WithLabelValues([]string{"server", "client"}[i%2], strconv.Itoa(1024+i/24),
			[]string{"established", "close_wait", "fin_wait1", "time_wait"}[i/2%4]+strconv.Itoa(i/8%3)).Set(float64(i * 7919 % 100003))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(sockets)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}
