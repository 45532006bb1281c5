/* A backup is made while the store is used, and opens as a store. */
#include "check.h"

#include <pthread.h>
#include <sys/stat.h>

enum { KEYS = 500 };

static void fill(freyja_db *db, const char *value) {
    char key[16];
    for (int number = 0; number < KEYS; number++) {
        snprintf(key, sizeof key, "key %d", number);
        CHECK_OK(put_text(db, key, value));
    }
}

static void check_all(freyja_db *db, const char *value) {
    char key[16];
    for (int number = 0; number < KEYS; number++) {
        snprintf(key, sizeof key, "key %d", number);
        check_text(db, key, value);
    }
    CHECK(count_of(db) == KEYS);
}

static void check_backup(const char *path, const char *value) {
    freyja_options options = default_options();
    options.flags = FREYJA_READ_ONLY_STORE;
    freyja_db *copy = open_store(path, &options);
    check_all(copy, value);
    CHECK_OK(freyja_close(copy));
}

struct seen {
    uint64_t calls, done, total, cancel_at;
};

static int watch(void *user, uint64_t done, uint64_t total) {
    struct seen *seen = user;
    CHECK(done <= total && (seen->calls == 0 || (done >= seen->done && total == seen->total)));
    seen->calls++;
    seen->done = done;
    seen->total = total;
    return seen->cancel_at != 0 && seen->calls >= seen->cancel_at;
}

static void a_backup_holds_the_store_as_it_was(const char *directory) {
    char *path = path_in(directory, "store"), *dest = path_in(directory, "copy");
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    freyja_db *db = open_store(path, &options);
    struct seen seen = {0, 0, 0, 0};
    freyja_error error;
    fill(db, "first");
    CHECK_OK(freyja_backup(db, dest, watch, &seen, &error));
    CHECK(seen.calls >= 2 && seen.done == seen.total && seen.total > KEYS * 16);
    fill(db, "second");
    check_backup(dest, "first");
    CHECK_OK(freyja_backup(db, dest, NULL, NULL, NULL));
    check_backup(dest, "second");
    check_all(db, "second");

    /* Nothing is new: nothing is brought. */
    memset(&seen, 0, sizeof seen);
    CHECK_OK(freyja_backup(db, dest, watch, &seen, &error));
    CHECK(seen.calls == 1 && seen.total == 0);

    /* Cancelled, the older backup stays. */
    fill(db, "third");
    memset(&seen, 0, sizeof seen);
    seen.cancel_at = 2;
    CHECK_STATUS(freyja_backup(db, dest, watch, &seen, &error), ECANCELED);
    CHECK(error.code == ECANCELED && error.sys_errno == ECANCELED && error.message[0] != '\0');
    check_backup(dest, "second");
    CHECK_OK(freyja_close(db));
}

static void what_is_no_place_for_a_backup_is_refused(const char *directory) {
    char *path = path_in(directory, "refusing"), *dest = path_in(directory, "other");
    freyja_options read_only = default_options();
    freyja_db *db = open_store(path, NULL), *other = open_store(dest, NULL);
    freyja_error error;
    fill(db, "value");
    CHECK_OK(put_text(other, "key", "value"));
    CHECK_STATUS(freyja_backup(db, dest, NULL, NULL, &error), FREYJA_EXISTS);
    CHECK(error.code == FREYJA_EXISTS && strstr(error.message, dest) != NULL);
    CHECK_STATUS(freyja_backup(db, path, NULL, NULL, NULL), FREYJA_EXISTS);
    CHECK_STATUS(freyja_backup(db, path_in(directory, "missing/copy"), NULL, NULL, &error), ENOENT);
    CHECK_STATUS(freyja_backup(db, "", NULL, NULL, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_backup(db, NULL, NULL, NULL, &error), FREYJA_INVALID);
    CHECK(error.code == FREYJA_INVALID);
    CHECK_STATUS(freyja_backup(NULL, dest, NULL, NULL, &error), FREYJA_INVALID);
    check_text(other, "key", "value");
    CHECK_OK(freyja_close(other));
    CHECK_OK(freyja_close(db));
    CHECK_STATUS(freyja_backup(db, dest, NULL, NULL, &error), FREYJA_CLOSED);
    CHECK(error.code == FREYJA_CLOSED);
    read_only.flags = FREYJA_READ_ONLY_STORE;
    db = open_store(path, &read_only);
    CHECK_STATUS(freyja_backup(db, path_in(directory, "third"), NULL, NULL, &error), FREYJA_READ_ONLY);
    CHECK_OK(freyja_close(db));
}

static void *write_on(void *user) {
    freyja_db *db = user;
    char value[32];
    int status = FREYJA_OK;
    for (int round = 0; status == FREYJA_OK; round++) {
        snprintf(value, sizeof value, "%d", round);
        freyja_batch *batch;
        CHECK_OK(freyja_batch_new(&batch));
        CHECK_OK(freyja_batch_put(batch, "left", 4, value, strlen(value)));
        CHECK_OK(freyja_batch_put(batch, "right", 5, value, strlen(value)));
        status = freyja_write(db, batch);
        freyja_batch_free(batch);
    }
    CHECK(status == FREYJA_CLOSED);
    return NULL;
}

static void a_backup_beside_a_writer_has_each_batch_whole(const char *directory) {
    char *dest = path_in(directory, "beside");
    freyja_options options = default_options(), read_only = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.segment_size = 1 << 20;
    read_only.flags = FREYJA_READ_ONLY_STORE;
    freyja_db *db = open_store(path_in(directory, "busy"), &options);
    pthread_t writer;
    CHECK(pthread_create(&writer, NULL, write_on, db) == 0);
    for (int round = 0; round < (is_slow_run() ? 3 : 10); round++) {
        CHECK_OK(freyja_backup(db, dest, NULL, NULL, NULL));
        freyja_db *copy = open_store(dest, &read_only);
        char left[32], right[32];
        size_t left_length = 0, right_length = 0;
        int status = freyja_get_into(copy, "left", 4, left, sizeof left, &left_length);
        CHECK(freyja_get_into(copy, "right", 5, right, sizeof right, &right_length) == status);
        CHECK(left_length == right_length && memcmp(left, right, left_length) == 0);
        CHECK_OK(freyja_close(copy));
    }
    CHECK_OK(freyja_close(db));
    CHECK(pthread_join(writer, NULL) == 0);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    a_backup_holds_the_store_as_it_was(arguments[1]);
    what_is_no_place_for_a_backup_is_refused(arguments[1]);
    a_backup_beside_a_writer_has_each_batch_whole(arguments[1]);
    return 0;
}
