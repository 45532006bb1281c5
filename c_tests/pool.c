/* The buffer pool as a C program sees it: buffers of the caller's own, puts that take them, counts and bounds. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>

static freyja_pool_stats_t pool_stats(void) {
    freyja_pool_stats_t stats;
    memset(&stats, 0xaa, sizeof stats);
    CHECK_OK(freyja_pool_stats(&stats, sizeof stats));
    CHECK(stats.struct_size == sizeof stats);
    CHECK(stats.hits + stats.misses == stats.gets && stats.in_use <= stats.gets);
    return stats;
}

static freyja_pool_class_t class_stats(size_t number) {
    freyja_pool_class_t stats;
    memset(&stats, 0xaa, sizeof stats);
    CHECK_OK(freyja_pool_class_stats(number, &stats, sizeof stats));
    CHECK(stats.struct_size == sizeof stats && stats.reserved == 0);
    CHECK(stats.hits + stats.misses == stats.gets && stats.in_use <= stats.gets);
    return stats;
}

static char *filled(size_t size, int byte) {
    void *buf = NULL;
    CHECK_OK(freyja_buf_alloc(size, &buf));
    CHECK(buf != NULL && (uintptr_t)buf % 16 == 0);
    memset(buf, byte, size);
    return buf;
}

static void classes_are_set_before_the_first_buffer_or_not_at_all(void) {
    const size_t falling[] = {1024, 512}, odd[] = {100}, huge[] = {64, (size_t)1 << 21};
    const size_t many[65] = {64};
    CHECK(freyja_pool_set_classes(falling, 2) == FREYJA_INVALID);
    CHECK(freyja_pool_set_classes(odd, 1) == FREYJA_INVALID);
    CHECK(freyja_pool_set_classes(huge, 2) == FREYJA_INVALID);
    CHECK(freyja_pool_set_classes(many, 65) == FREYJA_INVALID);
    CHECK(freyja_pool_set_classes(many, 0) == FREYJA_INVALID);
    CHECK(freyja_pool_set_classes(NULL, 1) == FREYJA_INVALID);

    const size_t sizes[] = {256, 1024, 4096, 65536};
    CHECK_OK(freyja_pool_set_classes(sizes, 4));
    CHECK(freyja_pool_set_classes(sizes, 4) == FREYJA_BUSY);
    CHECK(pool_stats().classes == 4);
    for (size_t n = 0; n < 4; n++)
        CHECK(class_stats(n).size == sizes[n]);
    freyja_pool_class_t untouched;
    memset(&untouched, 0xaa, sizeof untouched);
    CHECK(freyja_pool_class_stats(4, &untouched, sizeof untouched) == FREYJA_DONE);
    CHECK(untouched.struct_size == 0xaaaaaaaa);
    CHECK(freyja_pool_class_stats(0, NULL, sizeof untouched) == FREYJA_INVALID);
    CHECK(freyja_pool_stats(NULL, sizeof(freyja_pool_stats_t)) == FREYJA_INVALID);
    CHECK(freyja_pool_class_stats(0, &untouched, 3) == FREYJA_INVALID);
}

static void counts_tell_what_happened(void) {
    freyja_pool_stats_t before = pool_stats();
    freyja_pool_class_t class_before = class_stats(1);
    for (int round = 0; round < 100; round++)
        freyja_free_buf(filled(1000, round));
    char *kept = filled(257, 1), *large = filled(100000, 1);
    freyja_pool_class_t class = class_stats(1);
    CHECK(class.gets == class_before.gets + 101 && class.in_use == class_before.in_use + 1);
    CHECK(class.hits >= class_before.hits + 98);
    freyja_pool_stats_t stats = pool_stats();
    CHECK(stats.gets == before.gets + 102 && stats.oversize == before.oversize + 1);
    CHECK(stats.large_bytes >= before.large_bytes + 100000);
    CHECK(stats.threads == 1 && stats.idle_bytes <= stats.idle_limit);
    freyja_free_buf(kept);
    freyja_free_buf(large);
    CHECK(pool_stats().in_use == before.in_use && pool_stats().refused == before.refused);
}

static void large_buffers_are_put_where_the_fit_says(void) {
    CHECK(freyja_pool_set_fit(3) == FREYJA_INVALID);
    CHECK_OK(freyja_pool_trim());
    char *before = filled(300000, 1), *hole = filled(500000, 1), *after = filled(300000, 1);
    freyja_free_buf(hole);
    CHECK_OK(freyja_pool_set_fit(FREYJA_FIT_WORST));
    char *elsewhere = filled(400000, 1);
    CHECK(elsewhere != hole);
    for (uint32_t fit = FREYJA_FIT_BEST; fit <= FREYJA_FIT_FIRST; fit++) {
        CHECK_OK(freyja_pool_set_fit(fit));
        char *there = filled(400000, 1);
        CHECK(there == hole);
        freyja_free_buf(there);
    }
    CHECK_OK(freyja_pool_set_fit(FREYJA_FIT_BEST));
    freyja_free_buf(before);
    freyja_free_buf(after);
    freyja_free_buf(elsewhere);
}

static void zeroed_buffers_are_zero(void) {
    for (size_t size = 0; size < 300000; size = size * 3 + 1) {
        freyja_free_buf(filled(size, 0xff));
        void *buf;
        CHECK_OK(freyja_buf_alloc_zeroed(size, &buf));
        for (size_t n = 0; n < size; n++)
            CHECK(((char *)buf)[n] == 0);
        freyja_free_buf(buf);
    }
}

static void impossible_buffers_are_refused(void) {
    void *buf = (void *)1;
    CHECK(freyja_buf_alloc(SIZE_MAX, &buf) == FREYJA_MEMORY && buf == (void *)1);
    CHECK(freyja_buf_alloc_zeroed(SIZE_MAX / 2, &buf) == FREYJA_MEMORY && buf == (void *)1);
    CHECK(freyja_buf_alloc(1, NULL) == FREYJA_INVALID);
}

static void check_bytes(freyja_db *db, const char *key, size_t size, int byte) {
    void *val;
    size_t val_len;
    CHECK_OK(freyja_get(db, key, strlen(key), &val, &val_len));
    CHECK(val_len == size);
    for (size_t n = 0; n < size; n++)
        CHECK(((char *)val)[n] == (char)byte);
    freyja_free_buf(val);
}

static void a_put_takes_the_buffer_if_it_succeeds(freyja_db *db) {
    const size_t sizes[] = {0, 1, 256, 257, 5000, 65536, 65537, 1 << 20};
    uint64_t in_use = pool_stats().in_use;
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        char *buf = filled(sizes[n], (int)n + 1);
        CHECK_OK(freyja_put_buf(db, "taken", 5, buf, sizes[n]));
        CHECK(pool_stats().in_use == in_use);
        check_bytes(db, "taken", sizes[n], (int)n + 1);
        uint64_t refused = pool_stats().refused;
        freyja_free_buf(buf);
        CHECK(pool_stats().refused == refused + 1);
        CHECK(freyja_put_buf(db, "taken", 5, buf, sizes[n]) == FREYJA_INVALID);
    }
    /* What a get handed out can be stored elsewhere without another buffer. */
    void *val;
    size_t val_len;
    CHECK_OK(freyja_get(db, "taken", 5, &val, &val_len));
    CHECK_OK(freyja_put_buf(db, "moved", 5, val, val_len));
    check_bytes(db, "moved", 1 << 20, 8);
    /* Only the beginning of a buffer. */
    CHECK_OK(freyja_put_buf(db, "start", 5, filled(1000, 7), 10));
    check_bytes(db, "start", 10, 7);
    CHECK(pool_stats().in_use == in_use);
}

static void a_put_that_fails_leaves_the_buffer_to_the_caller(freyja_db *db) {
    uint64_t in_use = pool_stats().in_use;
    for (size_t size = 100; size < 1000000; size *= 30) {
        char *buf = filled(size, 5);
        CHECK(freyja_put_buf(db, "key", FREYJA_MAX_KEY_LEN + 1, buf, size) == FREYJA_TOO_LARGE);
        CHECK(freyja_put_buf(db, NULL, 3, buf, size) == FREYJA_INVALID);
        CHECK(freyja_put_buf(NULL, "key", 3, buf, size) == FREYJA_INVALID);
        CHECK(freyja_put_buf(db, "key", 3, buf, size + 65536) == FREYJA_INVALID);
        CHECK(freyja_put_buf(db, "key", 3, buf + 16, 1) == FREYJA_INVALID);
        CHECK(pool_stats().in_use == in_use + 1);
        for (size_t n = 0; n < size; n++)
            CHECK(buf[n] == 5);
        CHECK_OK(freyja_put_buf(db, "key", 3, buf, size));
        CHECK(pool_stats().in_use == in_use);
    }
    char on_stack[64] = "x";
    char *on_heap = malloc(64);
    CHECK(freyja_put_buf(db, "key", 3, on_stack, 1) == FREYJA_INVALID);
    CHECK(freyja_put_buf(db, "key", 3, on_heap, 1) == FREYJA_INVALID);
    CHECK(freyja_put_buf(db, "key", 3, NULL, 0) == FREYJA_INVALID);
    free(on_heap);
}

static void *churn(void *unused) {
    (void)unused;
    for (int round = 0; round < 200; round++) {
        char *held[20];
        for (int n = 0; n < 20; n++)
            held[n] = filled(900, round);
        for (int n = 0; n < 20; n++) {
            for (int byte = 0; byte < 900; byte += 100)
                CHECK(held[n][byte] == (char)round);
            freyja_free_buf(held[n]);
        }
    }
    return NULL;
}

static void trimming_and_bounds_hold_beside_threads(void) {
    pthread_t threads[3];
    for (int n = 0; n < 3; n++)
        CHECK(pthread_create(&threads[n], NULL, churn, NULL) == 0);
    for (int round = 0; round < 50; round++) {
        CHECK_OK(freyja_pool_trim());
        CHECK(pool_stats().in_use <= 60);
    }
    for (int n = 0; n < 3; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    CHECK_OK(freyja_pool_trim());
    CHECK(pool_stats().idle_bytes == 0 && pool_stats().pooled == 0);
    CHECK_OK(freyja_pool_set_idle_limit(10000));
    CHECK(pool_stats().idle_limit == 10000);
    churn(NULL);
    CHECK(pool_stats().idle_bytes <= 10000);
    CHECK_OK(freyja_pool_set_idle_limit(0));
    CHECK(pool_stats().idle_bytes == 0);
    churn(NULL);
    CHECK(pool_stats().idle_bytes == 0);
    CHECK_OK(freyja_pool_set_idle_limit((size_t)16 << 20));
}

static void a_child_has_a_pool_of_its_own(void) {
    char *of_parent = filled(300, 9);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(pool_stats().in_use == 0);
        freyja_free_buf(of_parent);
        CHECK(of_parent[299] == 9);
        churn(NULL);
        char *own = filled(300, 1);
        CHECK(own != of_parent && pool_stats().in_use == 1);
        freyja_free_buf(own);
        /* Becomes another program: leak checkers would look for memory of threads that exist in the parent only. */
        execl("/bin/true", "true", (char *)NULL);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(of_parent[0] == 9);
    freyja_free_buf(of_parent);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    classes_are_set_before_the_first_buffer_or_not_at_all();
    counts_tell_what_happened();
    large_buffers_are_put_where_the_fit_says();
    zeroed_buffers_are_zero();
    impossible_buffers_are_refused();
    freyja_db *db = open_store(path_in(argv[1], "store"), NULL);
    a_put_takes_the_buffer_if_it_succeeds(db);
    a_put_that_fails_leaves_the_buffer_to_the_caller(db);
    a_child_has_a_pool_of_its_own();
    trimming_and_bounds_hold_beside_threads();

    /* A closed store takes no buffer, and a buffer needs no store. */
    char *late = filled(10, 1);
    CHECK_OK(freyja_close(db));
    CHECK(freyja_put_buf(db, "key", 3, late, 10) == FREYJA_CLOSED);
    freyja_free_buf(late);
    CHECK(pool_stats().in_use == 0);
    return 0;
}
