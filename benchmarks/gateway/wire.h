/* What the mock upstream and the load generator agree on: the tag in a prompt, the answers it leads to, the clock.
 *
 * A prompt ends with a tag "mk-<16 hex digits>/<chunks>/<interval in us>". The mock reads what to answer from it, so no
 * gateway needs to pass an unknown field on, and the load generator can foretell every byte that matters of the answer. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MARKER_LEN 19 /* "mk-" and 16 hex digits */

/* The text after the marker in an answer that is not streamed; brings the answer's body to about 500 bytes. */
#define FILLER \
    "The quick brown fox jumps over the lazy dog while the gateway under test forwards this sentence unchanged, " \
    "and the load generator compares every byte of it with what it knows was sent."

struct tag {
    char marker[MARKER_LEN + 1];
    unsigned chunks;
    unsigned interval_us;
};

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(2);
}

/* Both sides work the usage out from the marker, so a usage block that belongs to another request is seen. */
static inline unsigned prompt_tokens_of(const char *marker) {
    return (unsigned)(strtoul(marker + MARKER_LEN - 4, NULL, 16) % 900) + 100;
}

/* Finds `"key"` followed by a colon in text[0..len) and returns where its value starts, or NULL. */
static inline const char *value_of(const char *text, size_t len, const char *key) {
    char quoted[40];
    const size_t quoted_len = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *end = text + len, *at = text;
    while ((at = memmem(at, (size_t)(end - at), quoted, quoted_len))) {
        at += quoted_len;
        const char *p = at;
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        if (p == end || *p != ':') continue;
        p++;
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        return p < end ? p : NULL;
    }
    return NULL;
}

static inline int starts_with(const char *p, const char *end, const char *word) {
    const size_t n = strlen(word);
    return p && (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

#endif
