/* A load generator that believes nothing: every answer is compared with what the tag in its prompt must lead to.
 *
 *   load --port N [--connections C] [--requests R] [--warmup W] [--stream 1 --chunks N --interval-us M] [--rate R/S]
 *        [--key K] [--model M] [--prompt-bytes B] [--timeout-s S] [--seed X] [--sync 1]
 *
 * Closed loop: each of C connections sends its next request when its last answer is whole; after W requests that are not
 * counted, R are. With --stream the requests are streams, and their starts are spread over one interval. With --rate one
 * connection sends at that rate, for latency at light load. With --sync the runner is told (a line "ready" / "done" on
 * stdout) and asked (a line on stdin) around the counted phase, so that it can read the gateway's CPU time at both ends.
 * Prints one JSON object: counts, errors by kind, latencies in microseconds. Exit status 0 even with errors: they are data. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"

struct conn {
    int fd, is_busy;
    uint64_t start_at_ns, sent_ns; /* start_at_ns: when its next request is due; 0 = there is none */
    struct answer answer;
};

static struct {
    int port, connections, is_stream, is_sync;
    unsigned long requests, warmup;
    unsigned chunks, interval_us;
    double rate, timeout_s;
    const char *key, *model, *host;
    size_t prompt_bytes;
    uint64_t seed;
} opt = {.port = 8788, .connections = 64, .requests = 20000, .warmup = 2000, .chunks = 50, .interval_us = 20000,
         .timeout_s = 30, .model = "mock-model", .host = "127.0.0.1", .prompt_bytes = 500, .seed = 1};

static struct {
    int epoll_fd, is_counting;
    struct conn *conns;
    unsigned long issued, finished, limit, waiting; /* waiting: scheduled, not sent yet */
    unsigned long errors[ERRORS], reconnects, late;
    struct series latency, first;
    struct tally tally;
    struct sockaddr_in address;
    char filler[4096];
} run;

/* ---- figures ---- */

static int by_size(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_series(const char *name, struct series *s) {
    if (!s->len) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(s->ns, s->len, sizeof *s->ns, by_size);
    const double q[] = {0.5, 0.9, 0.99};
    const char *const names[] = {"p50", "p90", "p99"};
    printf(",\"%s\":{\"count\":%zu", name, s->len);
    for (int i = 0; i < 3; i++)
        printf(",\"%s\":%.1f", names[i], (double)s->ns[(size_t)(q[i] * (double)(s->len - 1) + 0.5)] / 1000.0);
    printf(",\"max\":%.1f}", (double)s->ns[s->len - 1] / 1000.0);
}

static uint64_t next_random(void) { /* splitmix64 */
    uint64_t z = (opt.seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- connections and requests ---- */

static void disconnect(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

/* Blocking connect (loopback), then non-blocking. */
static int connect_now(struct conn *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&run.address, sizeof run.address)) {
        disconnect(c);
        return 0;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(run.epoll_fd, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
    return 1;
}

static size_t write_request(const struct conn *c, char *text, size_t size) {
    char body[6144], auth[256] = "";
    if (opt.key) snprintf(auth, sizeof auth, "authorization: Bearer %s\r\n", opt.key);
    const int n = snprintf(body, sizeof body,
                           "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
                           "{\"role\":\"user\",\"content\":\"%s %s/%u/%u\"}],\"max_tokens\":%u,\"temperature\":0.7%s}",
                           opt.model, run.filler, c->answer.marker, opt.chunks, opt.interval_us, opt.chunks,
                           opt.is_stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : "");
    return (size_t)snprintf(text, size,
                            "POST /v1/chat/completions HTTP/1.1\r\nhost: %s:%d\r\n%scontent-type: application/json\r\n"
                            "accept: */*\r\nuser-agent: overspill-bench\r\ncontent-length: %d\r\n\r\n%s",
                            opt.host, opt.port, auth, n, body);
}

static void finish(struct conn *c);

/* Sends the next request on this connection, if there is one left. */
static void start(struct conn *c) {
    char text[8192];
    struct answer *a = &c->answer;
    run.waiting--;
    c->is_busy = 1;
    a->is_counted = run.is_counting;
    reset_answer(a);
    snprintf(a->marker, sizeof a->marker, "mk-%016llx", (unsigned long long)next_random());
    c->sent_ns = now_ns();
    if (c->fd < 0 && !connect_now(c)) {
        blame(&c->answer, CONNECT, strerror(errno), 40);
        return finish(c);
    }
    const size_t n = write_request(c, text, sizeof text);
    if (send(c->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n) {
        blame(&c->answer, SENT, strerror(errno), 40);
        finish(c);
    }
}

static void schedule(struct conn *c, uint64_t at_ns) {
    if (run.issued == run.limit) {
        c->start_at_ns = 0;
        return;
    }
    run.issued++;
    run.waiting++;
    c->start_at_ns = at_ns;
}

/* Closes the books on one request and schedules the connection's next. */
static void finish(struct conn *c) {
    const uint64_t now = now_ns();
    c->is_busy = 0;
    run.finished++;
    if (run.is_counting) {
        run.errors[c->answer.error]++;
        if (!c->answer.error) {
            record(&run.latency, now - c->sent_ns);
            if (c->answer.first_ns) record(&run.first, c->answer.first_ns - c->sent_ns);
        }
    }
    if (c->answer.error || c->answer.must_close) {
        disconnect(c);
        run.reconnects += (unsigned)run.is_counting;
    }
    uint64_t next = now;
    if (opt.rate > 0) {
        next = c->start_at_ns + (uint64_t)(1e9 / opt.rate);
        if (next < now) {
            run.late++;
            next = now;
        }
    }
    schedule(c, next);
}

static void on_readable(struct conn *c) {
    static char bytes[262144];
    const ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (!c->is_busy) { /* bytes after the end of an answer, or a connection closed while idle */
        if (n > 0) {
            run.errors[SURPLUS]++;
            fprintf(stderr, "load: %zd bytes after the end of an answer: %.*s\n", n, (int)(n < 300 ? n : 300), bytes);
        } else {
            run.reconnects++;
        }
        return disconnect(c);
    }
    if (n <= 0) blame(&c->answer, TRUNCATED, n ? strerror(errno) : "the connection ended", 20);
    else take_bytes(&c->answer, bytes, (size_t)n);
    if (c->answer.error || c->answer.part == COMPLETE) finish(c);
}

/* Sends what is due and fails what is overdue; returns how many milliseconds may pass until the next look. */
static int tend(void) {
    const uint64_t now = now_ns(), patience = (uint64_t)(opt.timeout_s * 1e9);
    uint64_t nearest = now + 100000000u;
    for (int i = 0; i < opt.connections; i++) {
        struct conn *c = &run.conns[i];
        if (c->is_busy && now - c->sent_ns > patience && now > c->sent_ns) {
            blame(&c->answer, TIMEOUT, "", 0);
            finish(c);
        }
        if (c->is_busy || !c->start_at_ns) continue;
        if (c->start_at_ns <= now) start(c);
        else if (c->start_at_ns < nearest) nearest = c->start_at_ns;
    }
    return (int)((nearest - now) / 1000u);
}

static void wait_events(int wait_us) {
    struct epoll_event events[512];
    const struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = (long)(wait_us % 1000000) * 1000};
    const int n = epoll_pwait2(run.epoll_fd, events, 512, &wait, NULL);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->fd < 0) continue;
        on_readable(c);
        if (!opt.rate && !c->is_busy && c->start_at_ns) start(c);
    }
}

/* Runs `limit` requests; returns the seconds it took. */
static double run_phase(unsigned long limit, int is_counting) {
    const uint64_t began = now_ns();
    run.issued = run.finished = 0;
    run.limit = limit;
    run.is_counting = is_counting;
    const uint64_t spread = opt.is_stream ? (uint64_t)opt.interval_us * 1000u : 0;
    for (int i = 0; i < opt.connections; i++)
        schedule(&run.conns[i], began + 1 + spread * (uint64_t)i / (uint64_t)opt.connections);
    int wait_us = tend();
    uint64_t tended = now_ns();
    while (run.finished < limit) {
        wait_events(wait_us);
        /* Looking at every connection costs: only starts to come and time-outs need it. */
        if (run.waiting || now_ns() - tended > 50000000u) {
            wait_us = tend();
            tended = now_ns();
        }
    }
    return (double)(now_ns() - began) / 1e9;
}

static void wait_for_runner(const char *said) {
    if (!opt.is_sync) return;
    printf("%s\n", said);
    fflush(stdout);
    for (int byte = getchar(); byte != '\n'; byte = getchar())
        if (byte == EOF) exit(3);
}

/* Bytes after the last answer would come soon; give them a moment. */
static void listen_for_surplus(void) {
    run.is_counting = 1;
    const uint64_t until = now_ns() + 100000000u;
    while (now_ns() < until) wait_events(10000);
}

static void print_report(double wall_s) {
    unsigned long failed = 0;
    for (int e = OK + 1; e < ERRORS; e++) failed += run.errors[e];
    printf("{\"requests\":%lu,\"ok\":%lu,\"failed\":%lu,\"errors\":{", opt.requests, run.errors[OK], failed);
    const char *comma = "";
    for (int e = OK + 1; e < ERRORS; e++) {
        if (!run.errors[e]) continue;
        printf("%s\"%s\":%lu", comma, error_names[e], run.errors[e]);
        comma = ",";
    }
    printf("},\"wall_s\":%.6f,\"chunks\":%lu,\"comments\":%lu,\"reconnects\":%lu,\"late\":%lu", wall_s, run.tally.chunks,
           run.tally.comments, run.reconnects, run.late);
    print_series("latency_us", &run.latency);
    print_series("first_chunk_us", &run.first);
    print_series("chunk_delay_us", &run.tally.delay);
    printf("}\n");
}

/* ---- options ---- */

static void read_option(const char *name, const char *value) {
    if (!strcmp(name, "--port")) opt.port = atoi(value);
    else if (!strcmp(name, "--connections")) opt.connections = atoi(value);
    else if (!strcmp(name, "--requests")) opt.requests = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--warmup")) opt.warmup = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--stream")) opt.is_stream = atoi(value);
    else if (!strcmp(name, "--chunks")) opt.chunks = (unsigned)atoi(value);
    else if (!strcmp(name, "--interval-us")) opt.interval_us = (unsigned)atoi(value);
    else if (!strcmp(name, "--rate")) opt.rate = atof(value);
    else if (!strcmp(name, "--timeout-s")) opt.timeout_s = atof(value);
    else if (!strcmp(name, "--key")) opt.key = value;
    else if (!strcmp(name, "--model")) opt.model = value;
    else if (!strcmp(name, "--prompt-bytes")) opt.prompt_bytes = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--seed")) opt.seed = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--sync")) opt.is_sync = atoi(value);
    else {
        fprintf(stderr, "load: unknown option %s (the options are listed at the top of load.c)\n", name);
        exit(2);
    }
}

static void write_filler(void) {
    static const char words[] = "please explain how a gateway forwards a request and what it must never do to it; ";
    if (opt.prompt_bytes >= sizeof run.filler) opt.prompt_bytes = sizeof run.filler - 1;
    for (size_t i = 0; i < opt.prompt_bytes; i++) run.filler[i] = words[i % (sizeof words - 1)];
}

int main(int argc, char **argv) {
    if (argc % 2 == 0) {
        fprintf(stderr, "load: every option takes a value (the options are listed at the top of load.c)\n");
        return 2;
    }
    for (int i = 1; i < argc; i += 2) read_option(argv[i], argv[i + 1]);
    if (opt.rate > 0) opt.connections = 1;
    if (opt.connections < 1 || opt.chunks < 1 || opt.requests < 1) return 2;
    write_filler();
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    run.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    if (inet_pton(AF_INET, opt.host, &run.address.sin_addr) != 1) return 2;
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run.conns = calloc((size_t)opt.connections, sizeof *run.conns);
    if (!run.conns) die("calloc");
    for (int i = 0; i < opt.connections; i++) {
        run.conns[i].fd = -1;
        run.conns[i].answer.chunks = opt.chunks;
        run.conns[i].answer.is_stream = opt.is_stream;
        run.conns[i].answer.tally = &run.tally;
    }
    if (opt.warmup) run_phase(opt.warmup, 0);
    wait_for_runner("ready");
    const double wall_s = run_phase(opt.requests, 1);
    wait_for_runner("done");
    listen_for_surplus();
    print_report(wall_s);
    return 0;
}
