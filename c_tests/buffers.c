/* Buffers of freyja_get: whose they are, and what happens to pointers that are none. */
#include "check.h"

#include <pthread.h>

#define LENGTHS 9
static const size_t lengths[LENGTHS] = {0, 1, 64, 65, 100, 5000, 70000, 1 << 20, (1 << 20) + 1};

static void *get(freyja_db *db, size_t number) {
    void *val = NULL;
    size_t val_len = 0;
    CHECK_OK(freyja_get(db, &number, sizeof number, &val, &val_len));
    CHECK(val != NULL && val_len == lengths[number]);
    CHECK((uintptr_t)val % 16 == 0);
    for (size_t n = 0; n < val_len; n++)
        CHECK(((unsigned char *)val)[n] == number + 1);
    return val;
}

static void put_values(freyja_db *db) {
    for (size_t number = 0; number < LENGTHS; number++) {
        void *value = malloc(lengths[number] + 1);
        CHECK(value != NULL);
        memset(value, (int)number + 1, lengths[number] + 1);
        CHECK_OK(freyja_put(db, &number, sizeof number, value, lengths[number]));
        free(value);
    }
}

static void buffers_are_the_callers_own(freyja_db *db) {
    void *first[LENGTHS], *second[LENGTHS];
    uint64_t in_use = stats_of(db).buffers_in_use;
    for (size_t n = 0; n < LENGTHS; n++) {
        first[n] = get(db, n);
        second[n] = get(db, n);
        CHECK(first[n] != second[n]);
        memset(first[n], 0xee, lengths[n]);
    }
    CHECK(stats_of(db).buffers_in_use == in_use + 2 * LENGTHS);
    for (size_t n = 0; n < LENGTHS; n++) {
        freyja_free_buf(get(db, n));
        for (size_t byte = 0; byte < lengths[n]; byte++) {
            CHECK(((unsigned char *)first[n])[byte] == 0xee);
            CHECK(((unsigned char *)second[n])[byte] == n + 1);
        }
        freyja_free_buf(first[n]);
        freyja_free_buf(second[n]);
    }
    CHECK(stats_of(db).buffers_in_use == in_use);
}

static void pointers_that_are_no_buffers_are_refused(freyja_db *db) {
    static char in_data[64];
    char on_stack[64];
    char *on_heap = malloc(64);
    uint64_t refused = stats_of(db).buffers_refused;
    freyja_free_buf(NULL);
    CHECK(stats_of(db).buffers_refused == refused);
    const uintptr_t foreign[] = {(uintptr_t)in_data, (uintptr_t)on_stack, (uintptr_t)on_heap,
                                 (uintptr_t)db,      1,                   UINTPTR_MAX};
    const size_t count = sizeof foreign / sizeof foreign[0];
    for (size_t n = 0; n < count; n++)
        freyja_free_buf((void *)foreign[n]);
    CHECK(stats_of(db).buffers_refused == refused + count);
    free(on_heap);
}

static void pointers_into_a_buffer_are_refused(freyja_db *db) {
    for (size_t n = 0; n < LENGTHS; n++) {
        char *val = get(db, n);
        uint64_t refused = stats_of(db).buffers_refused;
        const size_t offsets[] = {1, 8, 16, 48};
        for (size_t m = 0; m < 4; m++)
            freyja_free_buf((void *)((uintptr_t)val + offsets[m]));
        CHECK(stats_of(db).buffers_refused == refused + 4);
        freyja_free_buf(val);
        CHECK(stats_of(db).buffers_refused == refused + 4);
    }
}

static void a_second_free_is_refused_and_harms_no_other_buffer(freyja_db *db) {
    for (size_t n = 0; n < LENGTHS; n++) {
        void *kept = get(db, n), *freed = get(db, n);
        uint64_t refused = stats_of(db).buffers_refused, in_use = stats_of(db).buffers_in_use;
        freyja_free_buf(freed);
        freyja_free_buf(freed);
        freyja_free_buf(freed);
        CHECK(stats_of(db).buffers_refused == refused + 2);
        CHECK(stats_of(db).buffers_in_use == in_use - 1);
        void *one = get(db, n), *two = get(db, n);
        CHECK(one != two && one != kept && two != kept);
        freyja_free_buf(one);
        freyja_free_buf(two);
        for (size_t byte = 0; byte < lengths[n]; byte++)
            CHECK(((unsigned char *)kept)[byte] == n + 1);
        freyja_free_buf(kept);
    }
}

static void *free_it(void *buffer) {
    freyja_free_buf(buffer);
    return NULL;
}

static void another_thread_may_free(freyja_db *db) {
    uint64_t in_use = stats_of(db).buffers_in_use;
    for (size_t n = 0; n < LENGTHS; n++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, free_it, get(db, n)) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK(stats_of(db).buffers_in_use == in_use);
}

static void many_live_buffers_are_all_distinct(freyja_db *db) {
    enum { COUNT = 20000 };
    static unsigned char *live[COUNT];
    size_t number = 4;
    for (unsigned n = 0; n < COUNT; n++) {
        live[n] = get(db, number);
        memcpy(live[n], &n, sizeof n);
    }
    for (unsigned n = 0; n < COUNT; n++) {
        CHECK(memcmp(live[n], &n, sizeof n) == 0);
        freyja_free_buf(live[n]);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_db *db = open_store(path_in(argv[1], "store"), NULL);
    put_values(db);
    buffers_are_the_callers_own(db);
    pointers_that_are_no_buffers_are_refused(db);
    pointers_into_a_buffer_are_refused(db);
    a_second_free_is_refused_and_harms_no_other_buffer(db);
    another_thread_may_free(db);
    many_live_buffers_are_all_distinct(db);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.buffers_in_use == 0 && stats.buffer_hits <= stats.buffer_gets);
    CHECK(stats.buffer_gets > 20000);

    /* A buffer outlives the handle. */
    void *late = get(db, 4);
    CHECK_OK(freyja_close(db));
    for (size_t byte = 0; byte < lengths[4]; byte++)
        CHECK(((unsigned char *)late)[byte] == 5);
    freyja_free_buf(late);
    freyja_free_buf(late);
    return 0;
}
