/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Serves the metrics of this program's pools to Prometheus, on loopback: `exporter [PORT]`, 9464 by default, 0 for any
 * that is free. It prints the address, and ends when its input ends.
 *
 * slabby_metrics_text does the work. The server answers one request at a time and every path alike, which is enough for
 * a scraper that nobody else can reach; a program with a server of its own puts the text into an answer there.
 */
#include <slabby/slabby.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER                                                                                               \
    "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"        \
    "Content-Length: %" PRIu64 "\r\nConnection: close\r\n\r\n"

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The metrics of all pools. The numbers may grow between two calls, so the buffer grows until the text fits. */
static char *metrics(uint64_t *out_length) {
    uint64_t capacity = 16384;
    char *text = malloc(capacity);
    slabby_status status = SLABBY_NO_SYSTEM_MEMORY;
    while (text != NULL) {
        status = slabby_metrics_text(text, capacity, out_length, NULL);
        if (status != SLABBY_BUFFER_TOO_SMALL)
            break;
        free(text);
        capacity = *out_length + *out_length / 8 + 1;
        text = malloc(capacity);
    }
    if (status != SLABBY_OK) {
        fprintf(stderr, "exporter: %s\n", slabby_status_message(status));
        exit(1);
    }
    return text;
}

static void send_all(int connection, const char *text, uint64_t length) {
    while (length > 0) {
        ssize_t sent = send(connection, text, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the other side went away */
        text += sent;
        length -= (uint64_t)sent;
    }
}

/* Reads up to the empty line that ends a request, for at most a second between two parts of it. */
static int has_request(int connection) {
    char request[8192];
    size_t length = 0;
    struct pollfd input = {.fd = connection, .events = POLLIN};
    while (length + 1 < sizeof request && poll(&input, 1, 1000) == 1) {
        ssize_t got = recv(connection, request + length, sizeof request - 1 - length, 0);
        if (got <= 0)
            return 0;
        length += (size_t)got;
        request[length] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL)
            return 1;
    }
    return 0;
}

static void answer(int connection) {
    char header[256];
    uint64_t length = 0;
    if (has_request(connection)) {
        char *text = metrics(&length);
        int bytes = snprintf(header, sizeof header, HEADER, length);
        send_all(connection, header, (uint64_t)bytes);
        send_all(connection, text, length);
        free(text);
    }
    close(connection);
}

static int listen_on(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int on = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (server < 0 || setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 16) != 0 ||
        getsockname(server, (struct sockaddr *)&address, &size) != 0)
        fail("exporter: listening on loopback");
    printf("http://127.0.0.1:%u/metrics\n", ntohs(address.sin_port));
    fflush(stdout);
    return server;
}

static void serve(int server) {
    struct pollfd inputs[] = {{.fd = server, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    char ignored[64];
    while (poll(inputs, 2, -1) >= 0) {
        if (inputs[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
            return;
        if (inputs[0].revents != 0)
            answer(accept(server, NULL, NULL));
    }
}

/* A pool to see: full once, with one refusal and one mistake, and 40 of 100 slabs live in the end. */
static slabby_allocator *make_pool(void) {
    slabby_allocator *pool = NULL;
    slabby_options *options = NULL;
    slabby_error error = {.struct_size = sizeof error};
    slabby_ref refs[100], none;
    if (slabby_options_create(&options) != SLABBY_OK ||
        slabby_options_set_text(options, "name", "orders", &error) != SLABBY_OK ||
        slabby_options_set_text(options, "latency_tracking", "all", &error) != SLABBY_OK ||
        slabby_create(&pool, 4096, 100, options, &error) != SLABBY_OK) {
        fprintf(stderr, "exporter: no pool: %s\n", error.text);
        exit(1);
    }
    slabby_options_destroy(options);
    for (int i = 0; i < 100; i++)
        if (slabby_allocate(&refs[i], NULL, pool) != SLABBY_OK)
            exit(1);
    if (slabby_allocate(&none, NULL, pool) != SLABBY_OUT_OF_MEMORY)
        exit(1);
    for (int i = 0; i < 60; i++)
        (void)slabby_release(pool, refs[i]);
    (void)slabby_release(pool, refs[0]);
    return pool;
}

int main(int argc, char **argv) {
    long port = argc > 1 ? strtol(argv[1], NULL, 10) : 9464;
    if (argc > 2 || port < 0 || port > 65535) {
        fprintf(stderr, "usage: exporter [PORT]\n");
        return 2;
    }
    slabby_allocator *pool = make_pool();
    int server = listen_on((uint16_t)port);
    serve(server);
    close(server);
    (void)slabby_abandon(pool);
    return 0;
}
