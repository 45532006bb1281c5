/* A handle belongs to the process that opened it. */
#include "processes.h"

#include <pthread.h>
#include <stdatomic.h>

static freyja_db *db;
static freyja_batch *batch;
static freyja_pin *pin;

/* Ends a child that went well by becoming another program. Leak checkers would look for memory of threads that
 * exist in the parent only, if it ended in the usual way. */
static void leave(void) {
    execl("/bin/true", "true", (char *)NULL);
    _exit(0);
}

/* Runs `body` in a forked child and checks that all went well there. */
#define IN_CHILD(body)                      \
    do {                                    \
        pid_t in_child = fork();            \
        CHECK(in_child >= 0);               \
        if (in_child == 0) {                \
            body;                           \
            leave();                        \
        }                                   \
        CHECK(outcome_of(in_child) == 0);   \
    } while (0)

static void every_call_answers_forked(void) {
    void *val = NULL;
    size_t val_len = 0;
    uint64_t count;
    char byte;
    freyja_location location;
    freyja_stats_t stats;
    freyja_error error;
    CHECK_STATUS(freyja_put(db, "k", 1, "child", 5), FREYJA_FORKED);
    CHECK_STATUS(freyja_get(db, "k", 1, &val, &val_len), FREYJA_FORKED);
    CHECK_STATUS(freyja_get_into(db, "k", 1, &byte, 1, &val_len), FREYJA_FORKED);
    freyja_pin *new_pin;
    const void *pinned;
    CHECK_STATUS(freyja_get_pinned(db, "k", 1, &new_pin, &pinned, &val_len), FREYJA_FORKED);
    CHECK_STATUS(freyja_unpin(pin), FREYJA_FORKED);
    CHECK_STATUS(freyja_exists(db, "k", 1), FREYJA_FORKED);
    CHECK_STATUS(freyja_delete(db, "k", 1), FREYJA_FORKED);
    CHECK_STATUS(freyja_sync(db), FREYJA_FORKED);
    CHECK_STATUS(freyja_count(db, &count), FREYJA_FORKED);
    CHECK_STATUS(freyja_locate(db, "k", 1, &location, sizeof location), FREYJA_FORKED);
    CHECK_STATUS(freyja_stats(db, &stats, sizeof stats), FREYJA_FORKED);
    CHECK_STATUS(freyja_failure(db, &error), FREYJA_FORKED);
    size_t key_end = 1, val_end;
    int state;
    freyja_batch *own;
    CHECK_STATUS(freyja_get_many(db, "k", &key_end, 1, &val, &val_end, &state), FREYJA_FORKED);
    CHECK_OK(freyja_batch_new(&own));
    CHECK_OK(freyja_batch_put(own, "k", 1, "child", 5));
    CHECK_STATUS(freyja_write(db, own), FREYJA_FORKED);
    CHECK_OK(freyja_batch_free(own));
    CHECK_STATUS(freyja_batch_put(batch, "k", 1, "child", 5), FREYJA_FORKED);
    CHECK_STATUS(freyja_batch_count(batch, &count), FREYJA_FORKED);
    CHECK_STATUS(freyja_batch_free(batch), FREYJA_FORKED);
    CHECK_STATUS(freyja_close(db), FREYJA_FORKED);
    CHECK_STATUS(freyja_close(db), FREYJA_FORKED);
}

static void the_parent_goes_on(const char *path) {
    freyja_db *second = NULL;
    CHECK_OK(put_text(db, "k", "parent"));
    check_text(db, "k", "parent");
    CHECK_STATUS(freyja_open(path, NULL, &second, NULL), FREYJA_BUSY);
}

static void a_child_may_read_but_not_free_buffers_of_its_parent(void) {
    void *val;
    size_t val_len;
    CHECK_OK(freyja_get(db, "k", 1, &val, &val_len));
    IN_CHILD({
        CHECK(val_len == 6 && memcmp(val, "parent", 6) == 0);
        freyja_free_buf(val);
        freyja_free_buf(val);
        CHECK(memcmp(val, "parent", 6) == 0);
    });
    CHECK(memcmp(val, "parent", 6) == 0);
    uint64_t refused = stats_of(db).buffers_refused;
    freyja_free_buf(val);
    CHECK(stats_of(db).buffers_refused == refused);
}

static void a_child_may_open_stores_of_its_own(const char *own, const char *parents) {
    freyja_db *child_db = NULL;
    CHECK_STATUS(freyja_open(parents, NULL, &child_db, NULL), FREYJA_BUSY);
    child_db = open_store(own, NULL);
    CHECK_OK(put_text(child_db, "whose", "child"));
    check_text(child_db, "whose", "child");
    void *val;
    size_t val_len;
    CHECK_OK(freyja_get(child_db, "whose", 5, &val, &val_len));
    freyja_free_buf(val);
    CHECK(stats_of(child_db).buffers_in_use == 0 && stats_of(child_db).pins_in_use == 0);
    /* And so may a grandchild, to whom the child's handle is as foreign. */
    IN_CHILD({
        CHECK_STATUS(put_text(child_db, "whose", "grandchild"), FREYJA_FORKED);
        CHECK_STATUS(put_text(db, "k", "grandchild"), FREYJA_FORKED);
    });
    check_text(child_db, "whose", "child");
    CHECK_OK(freyja_close(child_db));
    CHECK_STATUS(freyja_put(db, "k", 1, "child", 5), FREYJA_FORKED);
}

/* Threads of the child take the places of those that slept in the parent. */
static void a_child_may_open_stores_again_and_again(const char *own) {
    for (int again = 0; again < (is_slow_run() ? 3 : 20); again++) {
        freyja_db *child_db = open_store(own, NULL);
        CHECK_OK(put_text(child_db, "whose", "child"));
        CHECK_OK(freyja_close(child_db));
    }
}

static void a_parent_closes_and_opens_again_beside_a_living_child(const char *path) {
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char byte;
        close(gate[1]);
        CHECK(read(gate[0], &byte, 1) == 0);
        every_call_answers_forked();
        leave();
    }
    close(gate[0]);
    CHECK_OK(freyja_close(db));
    db = open_store(path, NULL);
    check_text(db, "k", "parent");
    close(gate[1]);
    CHECK(outcome_of(child) == 0);
    the_parent_goes_on(path);
}

static atomic_int stop;

static void *keep_busy(void *argument) {
    char key[16];
    for (unsigned n = 0; !atomic_load(&stop); n++) {
        void *val;
        size_t val_len, key_len = (size_t)snprintf(key, sizeof key, "busy %u", n % 50);
        CHECK_OK(freyja_put(db, key, key_len, argument, 4));
        CHECK_OK(freyja_get(db, key, key_len, &val, &val_len));
        freyja_free_buf(val);
        freyja_pin *own_pin;
        const void *pinned;
        CHECK_OK(freyja_get_pinned(db, key, key_len, &own_pin, &pinned, &val_len));
        CHECK_OK(freyja_unpin(own_pin));
    }
    return NULL;
}

/* Locks that other threads hold at the moment of the fork stay locked in the child for ever. */
static void a_child_of_a_busy_process_gets_answers(void) {
    pthread_t threads[4];
    void *val;
    size_t val_len;
    CHECK_OK(freyja_get(db, "k", 1, &val, &val_len));
    for (int n = 0; n < 4; n++)
        CHECK(pthread_create(&threads[n], NULL, keep_busy, "data") == 0);
    for (int again = 0; again < (is_slow_run() ? 3 : 50); again++)
        IN_CHILD({
            alarm(30);
            every_call_answers_forked();
            freyja_free_buf(val);
        });
    atomic_store(&stop, 1);
    for (int n = 0; n < 4; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    freyja_free_buf(val);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char *path = path_in(argv[1], "store"), *own = path_in(argv[1], "own");
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_INTERVAL;
    options.sync_interval_ms = 5;
    db = open_store(path, &options);
    CHECK_OK(put_text(db, "k", "before"));
    CHECK_OK(freyja_batch_new(&batch));
    const void *pinned;
    size_t pinned_len;
    CHECK_OK(freyja_get_pinned(db, "k", 1, &pin, &pinned, &pinned_len));
    IN_CHILD(CHECK(pinned_len == 6 && memcmp(pinned, "before", 6) == 0));
    IN_CHILD(every_call_answers_forked());
    check_text(db, "k", "before");
    the_parent_goes_on(path);
    a_child_may_read_but_not_free_buffers_of_its_parent();
    IN_CHILD(a_child_may_open_stores_of_its_own(own, path));
    for (int child = 0; child < 5; child++)
        IN_CHILD({
            alarm(60);
            a_child_may_open_stores_again_and_again(own);
        });
    the_parent_goes_on(path);
    a_child_of_a_busy_process_gets_answers();
    a_parent_closes_and_opens_again_beside_a_living_child(path);
    CHECK_OK(freyja_batch_put(batch, "k", 1, "parent", 6));
    CHECK_OK(freyja_write(db, batch));
    CHECK_OK(freyja_batch_free(batch));
    CHECK(memcmp(pinned, "before", 6) == 0);
    CHECK_OK(freyja_unpin(pin));
    CHECK_OK(freyja_close(db));

    db = open_store(path, NULL);
    check_text(db, "k", "parent");
    CHECK_OK(freyja_close(db));
    db = open_store(own, NULL);
    check_text(db, "whose", "child");
    CHECK_OK(freyja_close(db));
    return 0;
}
