/* What the test programs share. Each program gets an empty directory as its only argument. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <freyja.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ends the program with the place if the condition does not hold. */
#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

/* Ends the program with the place and both statuses if the call answers something else. */
#define CHECK_STATUS(call, expected)                                                         \
    do {                                                                                     \
        int check_got = (call), check_expected = (expected);                                 \
        if (check_got != check_expected) {                                                   \
            fprintf(stderr, "%s:%d: %s answered %d (%s) instead of %d (%s)\n", __FILE__,     \
                    __LINE__, #call, check_got, freyja_strerror(check_got), check_expected,  \
                    freyja_strerror(check_expected));                                        \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

#define CHECK_OK(call) CHECK_STATUS(call, FREYJA_OK)

/* A program that hangs is ended by SIGALRM instead of holding up everything. */
__attribute__((constructor)) static void end_when_hanging(void) {
    alarm(900);
}

/* Set by the test runner under tools that make everything many times slower. */
static inline int is_slow_run(void) {
    return getenv("FREYJA_TEST_SLOW") != NULL;
}

/* The path of `name` in the program's directory; freed by nobody, the programs are short. */
static inline char *path_in(const char *directory, const char *name) {
    static char paths[32][4096];
    static unsigned next;
    char *path = paths[next++ % 32];
    CHECK((size_t)snprintf(path, sizeof paths[0], "%s/%s", directory, name) < sizeof paths[0]);
    return path;
}

/* Opens a store and ends the program with the error's text if that fails. */
static inline freyja_db *open_store(const char *path, const freyja_options *options) {
    freyja_db *db = NULL;
    freyja_error error;
    int status = freyja_open(path, options, &db, &error);
    if (status != FREYJA_OK) {
        fprintf(stderr, "cannot open %s: %d %s\n", path, status, error.message);
        exit(1);
    }
    CHECK(db != NULL);
    return db;
}

static inline freyja_options default_options(void) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    return options;
}

static inline int put_text(freyja_db *db, const char *key, const char *value) {
    return freyja_put(db, key, strlen(key), value, strlen(value));
}

static inline int delete_text(freyja_db *db, const char *key) {
    return freyja_delete(db, key, strlen(key));
}

static inline int exists_text(freyja_db *db, const char *key) {
    return freyja_exists(db, key, strlen(key));
}

/* Checks that a key has exactly this value, by all ways of getting it. */
static inline void check_value(freyja_db *db, const void *key, size_t key_len, const void *value,
                               size_t value_len) {
    void *got = NULL;
    size_t got_len = (size_t)-1, into_len = (size_t)-1;
    char *into = malloc(value_len + 1);
    CHECK(into != NULL);
    into[value_len] = 'x';
    CHECK_OK(freyja_get(db, key, key_len, &got, &got_len));
    CHECK(got != NULL);
    CHECK(got_len == value_len);
    CHECK(value_len == 0 || memcmp(got, value, value_len) == 0);
    freyja_free_buf(got);
    CHECK_OK(freyja_get_into(db, key, key_len, into, value_len, &into_len));
    CHECK(into_len == value_len);
    CHECK(value_len == 0 || memcmp(into, value, value_len) == 0);
    CHECK(into[value_len] == 'x');
    free(into);
    freyja_pin *pin = NULL;
    const void *pinned = NULL;
    size_t pinned_len = (size_t)-1;
    CHECK_OK(freyja_get_pinned(db, key, key_len, &pin, &pinned, &pinned_len));
    CHECK(pinned != NULL && pinned_len == value_len);
    CHECK(value_len == 0 || memcmp(pinned, value, value_len) == 0);
    CHECK_OK(freyja_unpin(pin));
    CHECK_OK(freyja_exists(db, key, key_len));
}

static inline void check_text(freyja_db *db, const char *key, const char *value) {
    check_value(db, key, strlen(key), value, strlen(value));
}

/* Checks that a key is not there, by every way of asking. */
static inline void check_missing(freyja_db *db, const void *key, size_t key_len) {
    int untouched;
    void *got = &untouched;
    size_t length = 12345;
    char byte;
    freyja_location location;
    freyja_pin *pin;
    const void *pinned;
    CHECK_STATUS(freyja_get(db, key, key_len, &got, &length), FREYJA_NOT_FOUND);
    CHECK(got == &untouched && length == 12345);
    CHECK_STATUS(freyja_get_into(db, key, key_len, &byte, 1, &length), FREYJA_NOT_FOUND);
    CHECK_STATUS(freyja_get_pinned(db, key, key_len, &pin, &pinned, &length), FREYJA_NOT_FOUND);
    CHECK(length == 12345);
    CHECK_STATUS(freyja_exists(db, key, key_len), FREYJA_NOT_FOUND);
    CHECK_STATUS(freyja_locate(db, key, key_len, &location, sizeof location), FREYJA_NOT_FOUND);
}

static inline uint64_t count_of(freyja_db *db) {
    uint64_t count = UINT64_MAX;
    CHECK_OK(freyja_count(db, &count));
    return count;
}

static inline freyja_stats_t stats_of(freyja_db *db) {
    freyja_stats_t stats;
    memset(&stats, 0xaa, sizeof stats);
    CHECK_OK(freyja_stats(db, &stats, sizeof stats));
    CHECK(stats.struct_size == sizeof stats && stats.reserved == 0);
    return stats;
}

/* A deterministic generator (Marsaglia, "Xorshift RNGs", 2003). */
static inline uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
