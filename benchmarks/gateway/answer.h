/* One HTTP/1.1 answer as the load generator reads it: takes its bytes as they come, compares it with what the tag in its
 * prompt must lead to, and ends COMPLETE or with the first error found. Knows nothing of sockets. */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <strings.h>

#include "wire.h"

#define HEAD_MAX 8192
#define BODY_MAX 32768

enum error { OK, CONNECT, SENT, STATUS, HEAD, FRAMING, TRUNCATED, TOO_LONG, IN_BAND, MARKER, ORDER, COUNT, FINISH, USAGE,
             DONE, SURPLUS, TIMEOUT, ERRORS };
static const char *const error_names[ERRORS] = {
    "ok", "connect", "send", "status", "head", "framing", "truncated", "too_long", "in_band_error", "marker", "order",
    "count", "finish_reason", "usage", "done", "surplus_bytes", "timeout"};

enum part { IN_HEAD, IN_BODY, IN_SIZE, IN_CHUNK, AFTER_CHUNK, IN_TRAILER, COMPLETE };

struct series {
    uint64_t *ns;
    size_t len, cap;
};

/* What is counted over all answers. */
struct tally {
    unsigned long chunks, comments;
    struct series delay; /* from the mock's write to our read, a value a chunk */
    int complaints;
};

struct answer {
    /* what is expected; set before the request goes out */
    char marker[MARKER_LEN + 1];
    unsigned chunks;
    int is_stream, is_counted;
    struct tally *tally;
    /* what has come */
    enum part part;
    enum error error;
    char head[HEAD_MAX], body[BODY_MAX]; /* of a stream, `body` holds the event that is not whole yet */
    size_t head_len, body_len, left, line_len;
    char line[64]; /* chunk size or trailer line */
    int must_close, status, is_event_stream;
    unsigned next_index;
    int has_finish, has_usage, has_done;
    uint64_t first_ns; /* when the first content came */
};

/* Forgets the last answer; the expectation stays. */
static void reset_answer(struct answer *a) {
    a->part = IN_HEAD;
    a->error = OK;
    a->head_len = a->body_len = a->left = a->line_len = 0;
    a->status = a->must_close = a->is_event_stream = a->has_finish = a->has_usage = a->has_done = 0;
    a->next_index = 0;
    a->first_ns = 0;
}

static void record(struct series *s, uint64_t ns) {
    if (s->len == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 65536;
        s->ns = realloc(s->ns, s->cap * sizeof *s->ns);
        if (!s->ns) die("realloc");
    }
    s->ns[s->len++] = ns;
}

/* ---- one answer's verdict ---- */

static void blame(struct answer *a, enum error error, const char *seen, size_t n) {
    if (a->error) return;
    a->error = error;
    if (a->tally->complaints++ < 5)
        fprintf(stderr, "load: %s: %s, chunk %u of %u: %.*s\n", error_names[error], a->marker, a->next_index, a->chunks,
                (int)(n < 300 ? n : 300), seen);
}

static int reads_number(const char *text, size_t len, const char *key, unsigned expected) {
    const char *value = value_of(text, len, key);
    return value && strtoul(value, NULL, 10) == expected;
}

static int has_right_usage(const struct answer *a, const char *json, size_t json_len) {
    const unsigned prompt = prompt_tokens_of(a->marker);
    const char *usage = value_of(json, json_len, "usage");
    if (!usage) return 0;
    const size_t len = (size_t)(json + json_len - usage);
    return reads_number(usage, len, "prompt_tokens", prompt) && reads_number(usage, len, "total_tokens", prompt + a->chunks) &&
           reads_number(usage, len, "completion_tokens", a->chunks);
}

static void check_whole(struct answer *a) {
    char expected[1024];
    const char *end = a->body + a->body_len, *content = value_of(a->body, a->body_len, "content");
    snprintf(expected, sizeof expected, "\"%s " FILLER "\"", a->marker);
    if (!starts_with(content, end, expected)) blame(a, MARKER, a->body, a->body_len);
    if (!starts_with(value_of(a->body, a->body_len, "finish_reason"), end, "\"stop\""))
        blame(a, FINISH, a->body, a->body_len);
    if (!has_right_usage(a, a->body, a->body_len)) blame(a, USAGE, a->body, a->body_len);
}

static void check_content(struct answer *a, const char *json, size_t len, const char *content) {
    const char *end = json + len;
    char expected[64];
    if (starts_with(content, end, "\"\"") && value_of(json, len, "role")) {
        if (a->next_index) blame(a, ORDER, json, len);
        return;
    }
    snprintf(expected, sizeof expected, "\"%s ", a->marker);
    if (!starts_with(content, end, expected)) return blame(a, MARKER, json, len);
    char *stamp;
    const unsigned long index = strtoul(content + strlen(expected), &stamp, 10);
    if (index != a->next_index) return blame(a, ORDER, json, len);
    const uint64_t sent_ns = strtoull(stamp, &stamp, 10), seen_ns = now_ns();
    if (!starts_with(stamp, end, " \"")) return blame(a, MARKER, json, len);
    if (index == 0) a->first_ns = seen_ns;
    a->next_index++;
    if (a->is_counted) {
        a->tally->chunks++;
        record(&a->tally->delay, seen_ns > sent_ns ? seen_ns - sent_ns : 0);
    }
    const int is_last = a->next_index == a->chunks;
    const char *finish = value_of(json, len, "finish_reason");
    if (is_last ? !starts_with(finish, end, "\"stop\"") : finish && !starts_with(finish, end, "null"))
        return blame(a, FINISH, json, len);
    a->has_finish = is_last;
}

/* One server-sent event without its blank line. */
static void check_event(struct answer *a, const char *event, size_t len) {
    const char *end = event + len;
    if (len && event[0] == ':') {
        a->tally->comments++;
        return;
    }
    if (!starts_with(event, end, "data:") || memchr(event, '\n', len)) return blame(a, FRAMING, event, len);
    const char *json = event + (starts_with(event, end, "data: ") ? 6 : 5);
    const size_t n = (size_t)(end - json);
    if (a->has_done) return blame(a, SURPLUS, event, len);
    if (n == 6 && memcmp(json, "[DONE]", 6) == 0) {
        a->has_done = 1;
        return;
    }
    if (n < 2 || json[0] != '{' || json[n - 1] != '}') return blame(a, FRAMING, event, len);
    const char *content = value_of(json, n, "content"), *usage = value_of(json, n, "usage");
    if (value_of(json, n, "error")) return blame(a, IN_BAND, event, len);
    if (content) check_content(a, json, n, content);
    if (usage && !starts_with(usage, end, "null")) {
        if (a->has_usage || !a->has_finish || !has_right_usage(a, json, n)) return blame(a, USAGE, event, len);
        a->has_usage = 1;
    } else if (!content) {
        blame(a, FRAMING, event, len);
    }
}

static void check_events(struct answer *a) {
    char *at = a->body, *end = a->body + a->body_len, *blank;
    while ((blank = memmem(at, (size_t)(end - at), "\n\n", 2))) {
        check_event(a, at, (size_t)(blank - at));
        at = blank + 2;
    }
    a->body_len = (size_t)(end - at);
    memmove(a->body, at, a->body_len);
}

static void check_end(struct answer *a) {
    if (a->error) return;
    if (a->status != 200) return blame(a, STATUS, a->body, a->body_len);
    if (!a->is_stream) return check_whole(a);
    if (a->body_len) blame(a, FRAMING, a->body, a->body_len);
    if (a->next_index != a->chunks) blame(a, COUNT, "", 0);
    if (!a->has_usage) blame(a, USAGE, "no usage chunk", 14);
    if (!a->has_done) blame(a, DONE, "", 0);
}

/* ---- HTTP/1.1 answers ---- */

static const char *header(const struct answer *a, const char *name) {
    const char *end = a->head + a->head_len, *line = a->head;
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

static void read_head(struct answer *a) {
    if (!starts_with(a->head, a->head + a->head_len, "HTTP/1.1 ")) return blame(a, HEAD, a->head, a->head_len);
    a->status = atoi(a->head + 9);
    const char *coding = header(a, "transfer-encoding"), *length = header(a, "content-length");
    const char *connection = header(a, "connection"), *type = header(a, "content-type");
    a->must_close = connection && strncasecmp(connection, "close", 5) == 0;
    a->is_event_stream = type && strncasecmp(type, "text/event-stream", 17) == 0;
    if (a->status == 200 && a->is_event_stream != a->is_stream) return blame(a, HEAD, a->head, a->head_len);
    if (coding && !length && strncasecmp(coding, "chunked", 7) == 0) {
        a->part = IN_SIZE;
    } else if (length && !coding) {
        a->left = strtoul(length, NULL, 10);
        a->part = a->left ? IN_BODY : COMPLETE;
    } else {
        blame(a, HEAD, a->head, a->head_len); /* neither, or both: no two readers would agree where it ends */
    }
}

static size_t take_head(struct answer *a, const char *bytes, size_t n) {
    const size_t before = a->head_len, room = HEAD_MAX - 1 - before, some = n < room ? n : room;
    memcpy(a->head + before, bytes, some);
    const size_t from = before > 3 ? before - 3 : 0;
    const char *end = memmem(a->head + from, before + some - from, "\r\n\r\n", 4);
    if (!end) {
        a->head_len += some;
        if (some < n) blame(a, HEAD, a->head, 100);
        return some;
    }
    a->head_len = (size_t)(end - a->head) + 4;
    a->head[a->head_len] = 0;
    read_head(a);
    return a->head_len - before;
}

static size_t take_body(struct answer *a, const char *bytes, size_t n) {
    const size_t some = n < a->left ? n : a->left;
    if (some > BODY_MAX - a->body_len) {
        blame(a, TOO_LONG, "", 0);
        return n;
    }
    memcpy(a->body + a->body_len, bytes, some);
    a->body_len += some;
    a->left -= some;
    if (a->is_event_stream) check_events(a);
    if (!a->left) a->part = a->part == IN_BODY ? COMPLETE : AFTER_CHUNK;
    return some;
}

/* Collects a line of the chunked coding; returns 1 when a->line holds a whole one (without CRLF). */
static int take_line(struct answer *a, const char *bytes, size_t n, size_t *used) {
    for (*used = 0; *used < n;) {
        const char byte = bytes[(*used)++];
        if (byte == '\n') {
            if (!a->line_len || a->line[a->line_len - 1] != '\r') blame(a, FRAMING, "a bare newline", 14);
            else a->line[a->line_len - 1] = 0;
            a->line_len = 0;
            return !a->error;
        }
        if (a->line_len == sizeof a->line) {
            blame(a, FRAMING, a->line, sizeof a->line);
            return 0;
        }
        a->line[a->line_len++] = byte;
    }
    return 0;
}

static size_t take_chunk_line(struct answer *a, const char *bytes, size_t n) {
    size_t used;
    char *rest;
    if (!take_line(a, bytes, n, &used)) return used;
    if (a->part == AFTER_CHUNK) {
        if (a->line[0]) blame(a, FRAMING, a->line, strlen(a->line));
        a->part = IN_SIZE;
    } else if (a->part == IN_TRAILER) {
        if (!a->line[0]) a->part = COMPLETE;
    } else {
        a->left = strtoul(a->line, &rest, 16);
        if (rest == a->line || (*rest && *rest != ';')) blame(a, FRAMING, a->line, strlen(a->line));
        a->part = a->left ? IN_CHUNK : IN_TRAILER;
    }
    return used;
}

static void take_bytes(struct answer *a, const char *bytes, size_t n) {
    while (n && !a->error && a->part != COMPLETE) {
        size_t used;
        if (a->part == IN_HEAD) used = take_head(a, bytes, n);
        else if (a->part == IN_BODY || a->part == IN_CHUNK) used = take_body(a, bytes, n);
        else used = take_chunk_line(a, bytes, n);
        bytes += used;
        n -= used;
    }
    if (a->part == COMPLETE) check_end(a);
    if (n && !a->error) blame(a, SURPLUS, bytes, n);
}

#endif
