/* Eight threads on one handle; closing while others are in calls. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8 };

static freyja_db *db;
static int rounds;
static atomic_int stop;

/* A value that tells who wrote it and is wrong if torn. */
static size_t signed_value(char *value, unsigned thread, unsigned round) {
    size_t length = 8 + (thread * 31 + round * 17) % 400;
    memset(value, (int)(thread * 16 + round % 16), length);
    memcpy(value, &thread, 4);
    memcpy(value + 4, &round, 4);
    return length;
}

static void check_signed(const char *value, size_t length) {
    unsigned thread, round;
    char expected[512];
    CHECK(length >= 8);
    memcpy(&thread, value, 4);
    memcpy(&round, value + 4, 4);
    CHECK(signed_value(expected, thread, round) == length);
    CHECK(memcmp(value, expected, length) == 0);
}

/* Own keys, which nobody else touches, and shared ones, which all write. */
static void *work(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    char key[32], value[512];
    void *got;
    size_t got_len;
    for (unsigned round = 0; round < (unsigned)rounds; round++) {
        size_t length = signed_value(value, thread, round);
        size_t key_len = (size_t)snprintf(key, sizeof key, "own %u %u", thread, round % 50);
        CHECK_OK(freyja_put(db, key, key_len, value, length));
        check_value(db, key, key_len, value, length);
        if (round % 7 == 0) {
            CHECK_OK(freyja_delete(db, key, key_len));
            check_missing(db, key, key_len);
        }
        key_len = (size_t)snprintf(key, sizeof key, "shared %u", round % 10);
        CHECK_OK(freyja_put(db, key, key_len, value, length));
        CHECK_OK(freyja_get(db, key, key_len, &got, &got_len));
        check_signed(got, got_len);
        freyja_free_buf(got);
        if (round % 100 == 0)
            CHECK_OK(freyja_sync(db));
    }
    return NULL;
}

static void threads_find_what_they_wrote(const char *path) {
    freyja_options options = default_options();
    pthread_t threads[THREADS];
    options.sync_mode = FREYJA_SYNC_NONE;
    options.segment_size = 256 << 10;
    db = open_store(path, &options);
    for (uintptr_t n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, work, (void *)n) == 0);
    for (int n = 0; n < THREADS; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.puts == (uint64_t)rounds * THREADS * 2);
    CHECK(stats.buffers_in_use == 0);
    uint64_t count = count_of(db);
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    CHECK(count_of(db) == count);
    CHECK_OK(freyja_close(db));
}

/* Writers with durable writes share syncs; each sees its own write as durable. */
static void *write_durably(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    for (unsigned round = 0; round < 20; round++) {
        char key[32];
        freyja_location location;
        size_t key_len = (size_t)snprintf(key, sizeof key, "durable %u", thread);
        CHECK_OK(freyja_put(db, key, key_len, &round, sizeof round));
        CHECK_OK(freyja_locate(db, key, key_len, &location, sizeof location));
        CHECK(stats_of(db).durable_sequence >= location.sequence);
    }
    return NULL;
}

static void durable_writes_of_threads_are_durable(const char *path) {
    pthread_t threads[THREADS];
    db = open_store(path, NULL);
    for (uintptr_t n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, write_durably, (void *)n) == 0);
    for (int n = 0; n < THREADS; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    CHECK_OK(freyja_close(db));
}

/* Goes on until the handle answers that it is closed; nothing else may go wrong. */
static void *work_until_closed(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument, round = 0;
    char key[32], value[512];
    for (;; round++) {
        void *got = NULL;
        size_t got_len = 0, key_len = (size_t)snprintf(key, sizeof key, "key %u", round % 20);
        int status;
        if (thread % 2 == 0) {
            size_t length = signed_value(value, thread, round);
            status = freyja_put(db, key, key_len, value, length);
        } else {
            status = freyja_get(db, key, key_len, &got, &got_len);
            if (status == FREYJA_OK) {
                check_signed(got, got_len);
                freyja_free_buf(got);
            }
        }
        if (status == FREYJA_CLOSED)
            return NULL;
        CHECK(status == FREYJA_OK || status == FREYJA_NOT_FOUND);
        atomic_fetch_add(&stop, 1);
    }
}

static void closing_ends_calls_of_other_threads_safely(const char *path) {
    for (int again = 0; again < (is_slow_run() ? 2 : 10); again++) {
        pthread_t threads[THREADS];
        freyja_options options = default_options();
        options.sync_mode = again % 3;
        db = open_store(path, &options);
        atomic_store(&stop, 0);
        for (uintptr_t n = 0; n < THREADS; n++)
            CHECK(pthread_create(&threads[n], NULL, work_until_closed, (void *)n) == 0);
        while (atomic_load(&stop) < 200)
            sched_yield();
        CHECK_OK(freyja_close(db));
        for (int n = 0; n < THREADS; n++)
            CHECK(pthread_join(threads[n], NULL) == 0);
        CHECK_STATUS(freyja_close(db), FREYJA_CLOSED);
    }
}

static void *close_it(void *result) {
    *(int *)result = freyja_close(db);
    return NULL;
}

static void of_many_threads_that_close_exactly_one_does(const char *path) {
    for (int again = 0; again < 10; again++) {
        pthread_t threads[THREADS];
        int results[THREADS], done = 0;
        db = open_store(path, NULL);
        for (int n = 0; n < THREADS; n++)
            CHECK(pthread_create(&threads[n], NULL, close_it, &results[n]) == 0);
        for (int n = 0; n < THREADS; n++) {
            CHECK(pthread_join(threads[n], NULL) == 0);
            CHECK(results[n] == FREYJA_OK || results[n] == FREYJA_CLOSED);
            done += results[n] == FREYJA_OK;
        }
        CHECK(done == 1);
    }
}

/* Amounts move between accounts in batches; who reads all accounts at once always finds the same sum. */
enum { ACCOUNTS = 8, READERS = 2, WRITERS = 4, PAIR = 2 };

static void *transfer(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    /* Each writer has two accounts of its own, so that it knows what is in them. */
    int64_t amounts[PAIR] = {1000, 1000};
    uint64_t random = thread + 1;
    freyja_batch *batch;
    CHECK_OK(freyja_batch_new(&batch));
    for (int round = 0; round < rounds; round++) {
        int64_t amount = (int64_t)(random_next(&random) % 1000);
        amounts[round % PAIR] -= amount;
        amounts[(round + 1) % PAIR] += amount;
        CHECK_OK(freyja_batch_clear(batch));
        for (unsigned n = 0; n < PAIR; n++) {
            char key = (char)('a' + thread * PAIR + n);
            CHECK_OK(freyja_batch_put(batch, &key, 1, &amounts[n], sizeof amounts[n]));
        }
        CHECK_OK(freyja_write(db, batch));
    }
    CHECK_OK(freyja_batch_free(batch));
    atomic_fetch_add(&stop, 1);
    return NULL;
}

static void *add_up(void *unused) {
    const char keys[ACCOUNTS] = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
    const size_t key_ends[ACCOUNTS] = {1, 2, 3, 4, 5, 6, 7, 8};
    size_t val_ends[ACCOUNTS];
    int states[ACCOUNTS];
    (void)unused;
    do {
        void *vals;
        int64_t sum = 0;
        CHECK_OK(freyja_get_many(db, keys, key_ends, ACCOUNTS, &vals, val_ends, states));
        for (int n = 0; n < ACCOUNTS; n++) {
            CHECK(states[n] == FREYJA_OK && val_ends[n] == (size_t)(n + 1) * sizeof sum);
            sum += ((const int64_t *)vals)[n];
        }
        freyja_free_buf(vals);
        CHECK(sum == ACCOUNTS * 1000);
    } while (atomic_load(&stop) < WRITERS);
    return NULL;
}

static void batches_are_seen_whole(const char *path) {
    pthread_t threads[WRITERS + READERS];
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    db = open_store(path, &options);
    for (int n = 0; n < ACCOUNTS; n++) {
        char key = (char)('a' + n);
        int64_t amount = 1000;
        CHECK_OK(freyja_put(db, &key, 1, &amount, sizeof amount));
    }
    atomic_store(&stop, 0);
    for (uintptr_t n = 0; n < WRITERS; n++)
        CHECK(pthread_create(&threads[n], NULL, transfer, (void *)n) == 0);
    for (int n = 0; n < READERS; n++)
        CHECK(pthread_create(&threads[WRITERS + n], NULL, add_up, NULL) == 0);
    for (int n = 0; n < WRITERS + READERS; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    CHECK(stats_of(db).buffers_in_use == 0);
    CHECK_OK(freyja_close(db));
}

/* A batch is for one thread at a time; who comes in between is told so, and nothing is mixed up. */
static freyja_batch *shared;

static void *use_the_shared_batch(void *argument) {
    uint64_t done = 0;
    for (int round = 0; round < rounds; round++) {
        int status = round % 50 == 49 ? freyja_write(db, shared) : freyja_batch_put(shared, "key", 3, "value", 5);
        CHECK(status == FREYJA_OK || status == FREYJA_BUSY);
        done += status == FREYJA_OK && round % 50 < 49;
    }
    *(uint64_t *)argument = done;
    return NULL;
}

static void a_shared_batch_is_busy_for_the_second(const char *path) {
    pthread_t threads[THREADS];
    uint64_t done[THREADS], sum = 0, count;
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    db = open_store(path, &options);
    CHECK_OK(freyja_batch_new(&shared));
    for (int n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, use_the_shared_batch, &done[n]) == 0);
    for (int n = 0; n < THREADS; n++) {
        CHECK(pthread_join(threads[n], NULL) == 0);
        sum += done[n];
    }
    CHECK_OK(freyja_batch_count(shared, &count));
    CHECK(count == sum);
    CHECK_OK(freyja_batch_free(shared));
    CHECK_OK(freyja_close(db));
}

/* Threads that open and close stores of their own do not disturb each other. */
static void *open_and_close(void *path) {
    for (int again = 0; again < 10; again++) {
        freyja_db *own = open_store(path, NULL);
        check_text(own, "name", path);
        CHECK_OK(freyja_close(own));
    }
    return NULL;
}

static void stores_are_independent(const char *directory) {
    pthread_t threads[THREADS];
    for (int n = 0; n < THREADS; n++) {
        char name[32];
        snprintf(name, sizeof name, "independent %d", n);
        char *path = path_in(directory, name);
        freyja_db *own = open_store(path, NULL);
        CHECK_OK(put_text(own, "name", path));
        CHECK_OK(freyja_close(own));
        CHECK(pthread_create(&threads[n], NULL, open_and_close, path) == 0);
    }
    for (int n = 0; n < THREADS; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    rounds = is_slow_run() ? 100 : 2000;
    threads_find_what_they_wrote(path_in(argv[1], "work"));
    durable_writes_of_threads_are_durable(path_in(argv[1], "durable"));
    closing_ends_calls_of_other_threads_safely(path_in(argv[1], "closing"));
    of_many_threads_that_close_exactly_one_does(path_in(argv[1], "race"));
    batches_are_seen_whole(path_in(argv[1], "batches"));
    a_shared_batch_is_busy_for_the_second(path_in(argv[1], "shared"));
    stores_are_independent(argv[1]);
    return 0;
}
