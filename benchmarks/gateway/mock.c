/* A cheap HTTP/1.1 upstream that speaks enough of the OpenAI API to stand behind any gateway under test.
 *
 *   mock [--port N]...        (default 18081; several ports look like several engines)
 *
 * POST /v1/chat/completions answers from the tag in the prompt (see wire.h): one JSON body, or a stream of <chunks> content
 * chunks, one every <interval>, each in a write and an HTTP chunk of its own as engines do. One thread, epoll, and a heap of
 * due times on a timerfd, so that chunks leave when they are due and not in batches of a clock tick. A stream's first chunk
 * comes within one interval, at a point that its marker decides: without that, streams that end together start together,
 * and within seconds all of them tick at once, which costs a gateway one wake-up for many chunks.
 * GET /stats says what reached the upstream: the runner checks that a gateway asked exactly once for each request. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wire.h"

#define IN_MAX (1 << 20)
#define MAX_PORTS 16

struct buffer {
    char *bytes;
    size_t len, cap;
};

struct conn {
    int fd;
    int is_streaming, wants_usage, is_waiting_to_write, is_closing;
    struct buffer in, out;
    struct tag tag;
    unsigned next_index;
    uint64_t due_ns;
    size_t heap_at; /* 1-based; 0 = not in the heap */
};

static struct {
    int epoll_fd, timer_fd;
    uint64_t armed_ns;
    struct conn **heap; /* heap[1..heap_len] by due_ns */
    size_t heap_len, heap_cap;
    unsigned long requests, streams, chunks, aborted, bad, other, connections;
} mock;

/* ---- growing buffers ---- */

static void append(struct buffer *b, const char *bytes, size_t n) {
    if (b->len + n > b->cap) {
        b->cap = (b->len + n) * 2;
        b->bytes = realloc(b->bytes, b->cap);
        if (!b->bytes) die("realloc");
    }
    memcpy(b->bytes + b->len, bytes, n);
    b->len += n;
}

static void drop_front(struct buffer *b, size_t n) {
    b->len -= n;
    memmove(b->bytes, b->bytes + n, b->len);
}

/* ---- the heap of due times ---- */

static void heap_put(size_t at, struct conn *c) {
    mock.heap[at] = c;
    c->heap_at = at;
}

static void heap_settle(size_t at, struct conn *c) {
    while (at > 1 && mock.heap[at / 2]->due_ns > c->due_ns) {
        heap_put(at, mock.heap[at / 2]);
        at /= 2;
    }
    for (;;) {
        size_t child = at * 2;
        if (child > mock.heap_len) break;
        if (child < mock.heap_len && mock.heap[child + 1]->due_ns < mock.heap[child]->due_ns) child++;
        if (mock.heap[child]->due_ns >= c->due_ns) break;
        heap_put(at, mock.heap[child]);
        at = child;
    }
    heap_put(at, c);
}

static void heap_add(struct conn *c) {
    if (mock.heap_len + 2 > mock.heap_cap) {
        mock.heap_cap = mock.heap_cap ? mock.heap_cap * 2 : 256;
        mock.heap = realloc(mock.heap, mock.heap_cap * sizeof *mock.heap);
        if (!mock.heap) die("realloc");
    }
    heap_settle(++mock.heap_len, c);
}

static void heap_remove(struct conn *c) {
    const size_t at = c->heap_at;
    if (!at) return;
    struct conn *last = mock.heap[mock.heap_len--];
    if (last != c) heap_settle(at, last);
    c->heap_at = 0;
}

static void arm_timer(void) {
    const uint64_t due = mock.heap_len ? mock.heap[1]->due_ns : 0;
    if (due == mock.armed_ns) return;
    mock.armed_ns = due;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    if (timerfd_settime(mock.timer_fd, TFD_TIMER_ABSTIME, &when, NULL)) die("timerfd_settime");
}

/* ---- connections ---- */

static void close_conn(struct conn *c) {
    if (c->is_streaming) mock.aborted++;
    heap_remove(c);
    close(c->fd);
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
}

static void watch(struct conn *c, int for_write) {
    if (c->is_waiting_to_write == for_write) return;
    c->is_waiting_to_write = for_write;
    struct epoll_event e = {.events = EPOLLIN | (for_write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(mock.epoll_fd, EPOLL_CTL_MOD, c->fd, &e)) die("epoll_ctl");
}

/* Writes now what the socket takes and keeps the rest. Returns 0 when the peer is gone. */
static int send_bytes(struct conn *c, const char *bytes, size_t n) {
    if (c->out.len) {
        append(&c->out, bytes, n);
        return 1;
    }
    ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) return 0;
        sent = 0;
    }
    if ((size_t)sent < n) {
        append(&c->out, bytes + sent, n - (size_t)sent);
        watch(c, 1);
    }
    return 1;
}

static int flush(struct conn *c) {
    ssize_t sent = send(c->fd, c->out.bytes, c->out.len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    drop_front(&c->out, (size_t)sent);
    if (!c->out.len) watch(c, 0);
    return 1;
}

/* ---- answers ---- */

static int send_json(struct conn *c, const char *status, const char *body, size_t n) {
    char text[2048];
    const int len = snprintf(text, sizeof text,
                             "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s\r\n%.*s", status, n,
                             c->is_closing ? "connection: close\r\n" : "", (int)n, body);
    return send_bytes(c, text, (size_t)len);
}

static int answer_whole(struct conn *c) {
    char body[1024];
    const unsigned prompt = prompt_tokens_of(c->tag.marker), n = c->tag.chunks;
    const int len = snprintf(
        body, sizeof body,
        "{\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"mock-model\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s " FILLER "\"},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u}}",
        c->tag.marker, c->tag.marker, prompt, n, prompt + n);
    return send_json(c, "200 OK", body, (size_t)len);
}

/* Appends one server-sent event as one HTTP chunk. `choices` is the inside of the array, `rest` what follows it. */
static char *put_event(char *p, const char *marker, const char *choices, const char *rest) {
    char event[1024];
    const int len = snprintf(event, sizeof event,
                             "data: {\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
                             "\"model\":\"mock-model\",\"choices\":[%s]%s}\n\n",
                             marker, choices, rest);
    return p + sprintf(p, "%x\r\n%.*s\r\n", (unsigned)len, len, event);
}

/* Sends the next content chunk; with the first go the head and the role, with the last the usage and the end. */
static int send_next_chunk(struct conn *c) {
    char text[4096], choice[256], usage[128];
    char *p = text;
    const char *marker = c->tag.marker;
    const unsigned index = c->next_index++;
    const int is_last = c->next_index == c->tag.chunks;
    if (index == 0) {
        p += sprintf(p, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
                        "transfer-encoding: chunked\r\n\r\n");
        p = put_event(p, marker,
                      "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                      "\"finish_reason\":null}", "");
    }
    snprintf(choice, sizeof choice,
             "{\"index\":0,\"delta\":{\"content\":\"%s %u %llu \"},\"logprobs\":null,\"finish_reason\":%s}", marker, index,
             (unsigned long long)now_ns(), is_last ? "\"stop\"" : "null");
    p = put_event(p, marker, choice, "");
    mock.chunks++;
    if (is_last) {
        const unsigned prompt = prompt_tokens_of(marker), n = c->tag.chunks;
        snprintf(usage, sizeof usage,
                 ",\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u}", prompt, n, prompt + n);
        if (c->wants_usage) p = put_event(p, marker, "", usage);
        p += sprintf(p, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
        c->is_streaming = 0;
    }
    return send_bytes(c, text, (size_t)(p - text));
}

static int read_tag(const char *body, size_t len, struct tag *tag) {
    const char *end = body + len, *at = memmem(body, len, "mk-", 3);
    if (!at || (size_t)(end - at) < MARKER_LEN + 4) return 0;
    char copy[64];
    const size_t n = (size_t)(end - at) < sizeof copy - 1 ? (size_t)(end - at) : sizeof copy - 1;
    memcpy(copy, at, n);
    copy[n] = 0;
    memcpy(tag->marker, copy, MARKER_LEN);
    tag->marker[MARKER_LEN] = 0;
    return sscanf(copy + MARKER_LEN, "/%u/%u", &tag->chunks, &tag->interval_us) == 2 && tag->chunks > 0;
}

static int answer_chat(struct conn *c, const char *body, size_t len) {
    const char *end = body + len;
    mock.requests++;
    if (!read_tag(body, len, &c->tag)) {
        mock.bad++;
        static const char text[] = "{\"error\":{\"message\":\"the prompt carries no mk- tag\",\"code\":400}}";
        return send_json(c, "400 Bad Request", text, sizeof text - 1);
    }
    if (!starts_with(value_of(body, len, "stream"), end, "true")) return answer_whole(c);
    mock.streams++;
    c->wants_usage = starts_with(value_of(body, len, "include_usage"), end, "true");
    c->is_streaming = 1;
    c->next_index = 0;
    const uint64_t phase = strtoul(c->tag.marker + MARKER_LEN - 8, NULL, 16) & 0xffff;
    c->due_ns = now_ns() + (uint64_t)c->tag.interval_us * 1000u * (phase + 1) / 65536u;
    heap_add(c);
    return 1;
}

static int answer_get(struct conn *c, const char *path, size_t n) {
    char text[512];
    static const char *const known[][2] = {
        {"/v1/models", "{\"object\":\"list\",\"data\":[{\"id\":\"mock-model\",\"object\":\"model\",\"created\":1790000000,"
                       "\"owned_by\":\"mock\",\"max_model_len\":32768}]}"},
        {"/health", "{}"},
        {"/health_generate", "{}"},
        {"/get_server_info", "{\"model_path\":\"mock-model\",\"served_model_name\":\"mock-model\",\"tp_size\":1,\"dp_size\":1}"},
        {"/server_info", "{\"model_path\":\"mock-model\",\"served_model_name\":\"mock-model\",\"tp_size\":1,\"dp_size\":1}"},
        {"/get_model_info", "{\"model_path\":\"mock-model\",\"is_generation\":true}"},
        {"/model_info", "{\"model_path\":\"mock-model\",\"is_generation\":true}"},
    };
    if (n == 6 && memcmp(path, "/stats", 6) == 0) {
        const int len = snprintf(text, sizeof text,
                                 "{\"requests\":%lu,\"streams\":%lu,\"chunks\":%lu,\"aborted\":%lu,\"bad\":%lu,"
                                 "\"other\":%lu,\"connections\":%lu}",
                                 mock.requests, mock.streams, mock.chunks, mock.aborted, mock.bad, mock.other,
                                 mock.connections);
        return send_json(c, "200 OK", text, (size_t)len);
    }
    mock.other++;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i][0]) == n && memcmp(path, known[i][0], n) == 0)
            return send_json(c, "200 OK", known[i][1], strlen(known[i][1]));
    const int len = snprintf(text, sizeof text, "{\"error\":{\"message\":\"the mock has no %.*s\",\"code\":404}}",
                             (int)(n < 200 ? n : 200), path);
    return send_json(c, "404 Not Found", text, (size_t)len);
}

/* ---- requests ---- */

/* Returns the header's value, or NULL. `head` ends with the empty line. */
static const char *header(const char *head, size_t len, const char *name) {
    const char *end = head + len, *line = head;
    const size_t n = strlen(name);
    while ((line = memmem(line, (size_t)(end - line), "\r\n", 2))) {
        line += 2;
        if ((size_t)(end - line) <= n + 1 || strncasecmp(line, name, n) != 0 || line[n] != ':') continue;
        line += n + 1;
        while (*line == ' ') line++;
        return line;
    }
    return NULL;
}

/* Answers one whole request from the front of the buffer. Returns 1 when it did, 0 for "not whole yet", -1 to close. */
static int take_request(struct conn *c) {
    char *bytes = c->in.bytes;
    const char *head_end = c->in.len ? memmem(bytes, c->in.len, "\r\n\r\n", 4) : NULL;
    if (!head_end) return c->in.len > IN_MAX ? -1 : 0;
    const size_t head_len = (size_t)(head_end - bytes) + 4;
    const char *length = header(bytes, head_len, "content-length"), *coding = header(bytes, head_len, "transfer-encoding");
    const char *connection = header(bytes, head_len, "connection");
    const size_t body_len = length ? strtoul(length, NULL, 10) : 0;
    c->is_closing = connection && strncasecmp(connection, "close", 5) == 0;
    if (coding || body_len > IN_MAX) {
        mock.bad++;
        c->is_closing = 1;
        send_json(c, "411 Length Required", "{}", 2);
        return -1;
    }
    if (c->in.len < head_len + body_len) return 0;
    const char *path = memchr(bytes, ' ', head_len), *path_end;
    if (!path || !(path_end = memchr(path + 1, ' ', head_len - (size_t)(path + 1 - bytes)))) return -1;
    path++;
    const size_t path_len = (size_t)(path_end - path);
    int is_alive;
    if (bytes[0] == 'P' && path_len == 20 && memcmp(path, "/v1/chat/completions", 20) == 0)
        is_alive = answer_chat(c, bytes + head_len, body_len);
    else
        is_alive = answer_get(c, path, path_len);
    drop_front(&c->in, head_len + body_len);
    return is_alive && !(c->is_closing && !c->is_streaming) ? 1 : -1;
}

/* Returns 0 when the connection was closed. */
static int take_requests(struct conn *c) {
    int taken = 1;
    while (taken == 1 && !c->is_streaming) taken = take_request(c);
    if (taken >= 0) return 1;
    c->is_streaming = 0;
    close_conn(c);
    return 0;
}

static void on_readable(struct conn *c) {
    char bytes[65536];
    const ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 || c->in.len > 2 * IN_MAX) {
        close_conn(c);
        return;
    }
    append(&c->in, bytes, (size_t)n);
    take_requests(c);
}

static void on_due(void) {
    uint64_t expirations;
    if (read(mock.timer_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timerfd");
    mock.armed_ns = 0;
    while (mock.heap_len && mock.heap[1]->due_ns <= now_ns()) {
        struct conn *c = mock.heap[1];
        heap_remove(c);
        if (!send_next_chunk(c)) {
            close_conn(c);
            continue;
        }
        if (c->is_streaming) {
            c->due_ns += (uint64_t)c->tag.interval_us * 1000u;
            heap_add(c);
        } else if (c->is_closing) {
            close_conn(c);
        } else {
            take_requests(c);
        }
    }
}

/* ---- the loop ---- */

static void on_connect(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        mock.connections++;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(mock.epoll_fd, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED) die("accept");
}

static int listen_on(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    return fd;
}

/* One of a few descriptors that are no connections: told apart from `struct conn *` by its address. */
static int specials[MAX_PORTS + 1];

static void add_special(int slot, int fd) {
    specials[slot] = fd;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &specials[slot]};
    if (epoll_ctl(mock.epoll_fd, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void on_event(const struct epoll_event *e) {
    int *special = e->data.ptr;
    if (special == &specials[0]) return on_due();
    if (special > &specials[0] && special <= &specials[MAX_PORTS]) return on_connect(*special);
    struct conn *c = e->data.ptr;
    if (e->events & EPOLLOUT && c->out.len && !flush(c)) return close_conn(c);
    if (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
}

int main(int argc, char **argv) {
    int ports = 0;
    signal(SIGPIPE, SIG_IGN);
    mock.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    mock.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    add_special(0, mock.timer_fd);
    for (int i = 1; i + 1 < argc && strcmp(argv[i], "--port") == 0 && ports < MAX_PORTS; i += 2)
        add_special(++ports, listen_on(atoi(argv[i + 1])));
    if (argc != 1 + 2 * ports) {
        fprintf(stderr, "usage: mock [--port N]...  (at most %d ports)\n", MAX_PORTS);
        return 2;
    }
    if (!ports) add_special(1, listen_on(18081));
    struct epoll_event events[256];
    for (;;) {
        arm_timer();
        const int n = epoll_wait(mock.epoll_fd, events, 256, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        /* A connection closed by an earlier event of the same batch cannot come again: each descriptor is reported once,
         * and on_due() runs last so that it never frees a connection whose own event is still to come. */
        int is_due = 0;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &specials[0]) is_due = 1;
            else on_event(&events[i]);
        }
        if (is_due) on_due();
    }
}
