/* Other processes read a store while one writes it, and see prefixes of what it wrote, with whole batches. */
#include "processes.h"

enum { PARTS = 4, ROUNDS = 3000 };

static freyja_options reading(void) {
    freyja_options options = default_options();
    options.flags = FREYJA_READ_ONLY_STORE;
    return options;
}

static uint32_t number_of(freyja_db *db, const char *key) {
    uint32_t number = 0;
    size_t length = 0;
    int status = freyja_get_into(db, key, strlen(key), &number, sizeof number, &length);
    if (status == FREYJA_NOT_FOUND)
        return 0;
    CHECK_OK(status);
    CHECK(length == sizeof number);
    return number;
}

/* The writing process: counts up in a put, then in a batch, then in a put of one of many keys, without an end. */
static int role_write(const char *path) {
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.segment_size = 1 << 17;
    freyja_db *db = open_store(path, &options);
    freyja_batch *batch;
    char key[32];
    CHECK_OK(freyja_batch_new(&batch));
    for (uint32_t round = number_of(db, "alone") + 1;; round++) {
        CHECK_OK(freyja_put(db, "alone", 5, &round, sizeof round));
        CHECK_OK(freyja_batch_clear(batch));
        for (int part = 0; part < PARTS; part++) {
            snprintf(key, sizeof key, "part %d", part);
            CHECK_OK(freyja_batch_put(batch, key, strlen(key), &round, sizeof round));
        }
        CHECK_OK(freyja_write(db, batch));
        snprintf(key, sizeof key, "many %u", (unsigned)(round % 300));
        CHECK_OK(freyja_put(db, key, strlen(key), &round, sizeof round));
        /* Readers that run under tools must be able to keep up. */
        if (round % (is_slow_run() ? 1 : 20) == 0)
            usleep(1000);
        if (round == 1)
            CHECK(write(1, "!", 1) == 1);
    }
}

/* Checks what a reader sees, and answers how far it sees. */
static uint32_t check_prefix(freyja_db *db, uint32_t before) {
    uint32_t alone = number_of(db, "alone"), batch = number_of(db, "part 0");
    char key[32];
    CHECK(alone >= before);
    CHECK(alone == batch || alone == batch + 1);
    for (int part = 1; part < PARTS; part++) {
        snprintf(key, sizeof key, "part %d", part);
        CHECK(number_of(db, key) == batch);
    }
    /* The last put of each of the many is the newest that the prefix holds. */
    uint32_t newest = number_of(db, "part 0");
    for (uint32_t back = 1; back < 20 && back < newest; back++) {
        snprintf(key, sizeof key, "many %u", (unsigned)((newest - back) % 300));
        CHECK(number_of(db, key) == newest - back);
    }
    return alone;
}

/* A reading process: refreshes, and opens anew now and then, until the writer is far enough on. */
static int role_read(const char *path) {
    freyja_options options = reading();
    freyja_db *db = open_store(path, &options);
    uint32_t rounds = is_slow_run() ? ROUNDS / 20 : ROUNDS, seen = 0;
    for (int turn = 1; seen < rounds; turn++) {
        seen = check_prefix(db, seen);
        if (turn % 50 != 0)
            CHECK_OK(freyja_refresh(db));
        else {
            CHECK_OK(freyja_close(db));
            db = open_store(path, &options);
        }
    }
    CHECK_OK(freyja_close(db));
    return 0;
}

static pid_t start_writer(const char *program, const char *path) {
    int output[2];
    char byte;
    CHECK(pipe(output) == 0);
    pid_t writer = run_again(program, "write", path, output[1]);
    close(output[1]);
    if (read(output[0], &byte, 1) != 1)
        CHECK(outcome_of(writer) == 0);
    close(output[0]);
    return writer;
}

static void readers_see_prefixes_and_outlive_the_writer(const char *program, const char *path) {
    freyja_options options = reading();
    pid_t writer = start_writer(program, path);
    freyja_db *db = open_store(path, &options);
    pid_t first = run_again(program, "read", path, -1), second = run_again(program, "read", path, -1);
    CHECK(outcome_of(first) == 0 && outcome_of(second) == 0);
    uint32_t seen = check_prefix(db, 0);
    CHECK_OK(freyja_refresh(db));
    seen = check_prefix(db, seen);
    CHECK(seen > 1);

    /* The writer is killed: what it wrote is there, all that this process saw before. */
    CHECK(kill(writer, SIGKILL) == 0);
    CHECK(outcome_of(writer) == -SIGKILL);
    CHECK_OK(freyja_refresh(db));
    seen = check_prefix(db, seen);
    uint64_t sequence = stats_of(db).last_sequence;
    CHECK_OK(freyja_refresh(db));
    CHECK(stats_of(db).last_sequence == sequence);

    /* A new reader sees the same, and a writer that mends the store goes on from there. */
    freyja_db *other = open_store(path, &options);
    CHECK(check_prefix(other, seen) == seen);
    CHECK_OK(freyja_close(other));
    freyja_db *successor = open_store(path, NULL);
    CHECK(check_prefix(successor, seen) == seen);
    CHECK_OK(put_text(successor, "after", "wards"));
    check_missing(db, "after", 5);
    CHECK_OK(freyja_refresh(db));
    check_text(db, "after", "wards");
    CHECK(check_prefix(db, seen) == seen);
    CHECK_OK(delete_text(successor, "after"));
    CHECK_OK(freyja_close(successor));
    check_text(db, "after", "wards");
    CHECK_OK(freyja_refresh(db));
    check_missing(db, "after", 5);
    CHECK_OK(freyja_close(db));
}

/* The writer compacts what a reader has not seen: the same handle shows all after a refresh, and an iterator goes on. */
static void a_refresh_follows_compaction_under_the_same_handle(const char *path) {
    freyja_options writing = default_options(), options = reading();
    freyja_slice key, value;
    freyja_iter *iter;
    char name[32];
    int met = 1, status;
    writing.sync_mode = FREYJA_SYNC_NONE;
    writing.segment_size = 1 << 16;
    freyja_db *writer = open_store(path, &writing);
    for (int number = 0; number < 100; number++) {
        snprintf(name, sizeof name, "key %d", number);
        CHECK_OK(put_text(writer, name, "seen"));
    }
    freyja_db *db = open_store(path, &options);
    CHECK_OK(freyja_iter_new(db, &iter));
    CHECK_OK(freyja_iter_next(iter, &key, &value));
    for (int round = 0; round < 100; round++)
        for (int number = 0; number < 100; number++) {
            snprintf(name, sizeof name, "key %d", number);
            CHECK_OK(put_text(writer, name, round < 99 ? "some value that takes some room" : "newest"));
        }
    CHECK_OK(delete_text(writer, "key 0"));
    CHECK_OK(freyja_compact(writer, NULL, NULL, NULL));
    check_text(db, "key 0", "seen");
    CHECK_OK(freyja_refresh(db));
    check_missing(db, "key 0", 5);
    check_text(db, "key 1", "newest");
    check_text(db, "key 99", "newest");
    CHECK(stats_of(db).last_sequence == stats_of(writer).last_sequence);
    CHECK(stats_of(db).keys == 99);
    while ((status = freyja_iter_next(iter, &key, &value)) == FREYJA_OK) {
        CHECK(value.len == 4 && memcmp(value.data, "seen", 4) == 0);
        met++;
    }
    CHECK(status == FREYJA_DONE && met == 100);
    CHECK_OK(freyja_iter_free(iter));
    CHECK_OK(put_text(writer, "after", "wards"));
    CHECK_OK(freyja_refresh(db));
    check_text(db, "after", "wards");
    CHECK_OK(freyja_close(db));
    CHECK_OK(freyja_close(writer));
}

static void a_refresh_is_refused_where_every_call_is(const char *path) {
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(freyja_refresh(db));
    CHECK_OK(freyja_close(db));
    CHECK_STATUS(freyja_refresh(db), FREYJA_CLOSED);
    CHECK_STATUS(freyja_refresh(NULL), FREYJA_INVALID);
}

int main(int argc, char **argv) {
    if (argc == 3)
        return strcmp(argv[1], "write") == 0 ? role_write(argv[2]) : role_read(argv[2]);
    CHECK(argc == 2);
    readers_see_prefixes_and_outlive_the_writer(argv[0], path_in(argv[1], "shared"));
    a_refresh_follows_compaction_under_the_same_handle(path_in(argv[1], "compacted"));
    a_refresh_is_refused_where_every_call_is(path_in(argv[1], "refused"));
    return 0;
}
