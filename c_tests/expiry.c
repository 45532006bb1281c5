/* A pair that expires is there until its moment, and then in no kind of read. */
#include <time.h>

#include "check.h"

static uint64_t now_ms(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int put_until(freyja_db *db, const char *key, const char *value, uint64_t moment) {
    return freyja_put_ex(db, key, strlen(key), value, strlen(value), moment);
}

static void check_missing_text(freyja_db *db, const char *key) {
    size_t end = strlen(key), val_end = 7;
    int state = FREYJA_OK;
    void *vals;
    check_missing(db, key, strlen(key));
    CHECK_OK(freyja_get_many(db, key, &end, 1, &vals, &val_end, &state));
    CHECK(state == FREYJA_NOT_FOUND && val_end == 0);
    freyja_free_buf(vals);
}

static void wait_until(uint64_t moment) {
    while (now_ms() < moment) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
}

static void a_pair_is_there_until_its_moment(freyja_db *db) {
    uint64_t soon = now_ms() + (is_slow_run() ? 3000 : 500);
    CHECK_OK(put_until(db, "soon", "gone", soon));
    CHECK_OK(put_until(db, "never", "stays", 0));
    CHECK_OK(put_until(db, "in a century", "stays", soon + 3155760000000));
    CHECK_OK(put_until(db, "at the end of time", "stays", UINT64_MAX));
    check_text(db, "soon", "gone");
    wait_until(soon);
    check_missing_text(db, "soon");
    check_text(db, "never", "stays");
    check_text(db, "in a century", "stays");
    check_text(db, "at the end of time", "stays");
    CHECK(count_of(db) == 4);
    CHECK_STATUS(delete_text(db, "soon"), FREYJA_NOT_FOUND);
    CHECK(count_of(db) == 3);
    CHECK(stats_of(db).deletes == 0);
}

static void a_moment_in_the_past_is_no_error_and_hides_the_older_value(freyja_db *db) {
    CHECK_OK(put_text(db, "k", "old"));
    CHECK_OK(put_until(db, "k", "new", 1));
    check_missing_text(db, "k");
    CHECK_OK(put_text(db, "k", "newest"));
    check_text(db, "k", "newest");
}

static void pairs_of_a_batch_expire(freyja_db *db) {
    freyja_batch *batch;
    uint64_t operations;
    CHECK_OK(freyja_batch_new(&batch));
    CHECK_OK(freyja_batch_put_ex(batch, "b1", 2, "x", 1, 1));
    CHECK_OK(freyja_batch_put_ex(batch, "b2", 2, "y", 1, 0));
    CHECK_OK(freyja_batch_put_ex(batch, "b3", 2, "z", 1, UINT64_MAX));
    CHECK_STATUS(freyja_batch_put_ex(batch, NULL, 2, "z", 1, 5), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_put_ex(batch, "b", FREYJA_MAX_KEY_LEN + 1, "z", 1, 5), FREYJA_TOO_LARGE);
    CHECK_STATUS(freyja_batch_put_ex(NULL, "b", 1, "z", 1, 5), FREYJA_INVALID);
    CHECK_OK(freyja_batch_count(batch, &operations));
    CHECK(operations == 3);
    CHECK_OK(freyja_write(db, batch));
    CHECK_OK(freyja_batch_free(batch));
    check_missing_text(db, "b1");
    check_text(db, "b2", "y");
    check_text(db, "b3", "z");
}

static void wrong_arguments_are_refused(freyja_db *db) {
    CHECK_STATUS(freyja_put_ex(NULL, "k", 1, "v", 1, 5), FREYJA_INVALID);
    CHECK_STATUS(freyja_put_ex(db, NULL, 1, "v", 1, 5), FREYJA_INVALID);
    CHECK_STATUS(freyja_put_ex(db, "k", 1, NULL, 1, 5), FREYJA_INVALID);
    CHECK_STATUS(freyja_put_ex(db, "k", FREYJA_MAX_KEY_LEN + 1, "v", 1, 5), FREYJA_TOO_LARGE);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char *path = path_in(argv[1], "expiring");
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    freyja_db *db = open_store(path, &options);
    a_pair_is_there_until_its_moment(db);
    a_moment_in_the_past_is_no_error_and_hides_the_older_value(db);
    pairs_of_a_batch_expire(db);
    wrong_arguments_are_refused(db);
    CHECK_OK(freyja_close(db));
    CHECK_STATUS(freyja_put_ex(db, "k", 1, "v", 1, 5), FREYJA_CLOSED);

    db = open_store(path, &options);
    check_missing_text(db, "soon");
    check_missing_text(db, "b1");
    check_text(db, "b3", "z");
    check_text(db, "in a century", "stays");
    CHECK_OK(freyja_close(db));
    return 0;
}
