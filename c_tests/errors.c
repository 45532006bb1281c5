/* The remaining statuses, each brought about on purpose: errno, FREYJA_UNSUPPORTED, _MEMORY, _FAILED. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void errors_of_the_system_keep_their_errno(const char *directory) {
    freyja_db *db = NULL;
    freyja_error error;
    const char *file = path_in(directory, "file");
    int made = open(file, O_CREAT | O_WRONLY, 0600);
    CHECK(made >= 0);
    close(made);
    int status = freyja_open(path_in(file, "below"), NULL, &db, &error);
    CHECK_STATUS(status, ENOTDIR);
    CHECK(error.code == ENOTDIR && error.sys_errno == ENOTDIR);
    CHECK(strstr(error.message, "file/below") != NULL);
    CHECK_STATUS(freyja_open(path_in(directory, "no/such/parent"), NULL, &db, &error), ENOENT);
    CHECK(error.sys_errno == ENOENT);
    CHECK_STATUS(freyja_open(file, NULL, &db, NULL), ENOTDIR);
    if (geteuid() != 0) {
        const char *locked = path_in(directory, "locked");
        CHECK(mkdir(locked, 0500) == 0);
        CHECK_STATUS(freyja_open(path_in(locked, "store"), NULL, &db, &error), EACCES);
    }
    CHECK(db == NULL);
}

static void too_few_descriptors_are_an_errno_and_pass(const char *path) {
    struct rlimit limit, low;
    freyja_db *db = NULL;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    low = limit;
    low.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    CHECK_STATUS(freyja_open(path, NULL, &db, NULL), EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    db = open_store(path, NULL);
    CHECK_OK(freyja_close(db));
}

static void a_budget_that_nothing_works_with_names_the_least(const char *path) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    freyja_db *db = NULL;
    freyja_error error;
    options.memory_budget = 1000;
    CHECK_STATUS(freyja_open(path, &options, &db, &error), FREYJA_INVALID);
    CHECK(error.code == FREYJA_INVALID && strstr(error.message, "memory_budget") != NULL);
    CHECK(db == NULL);
}

/* No room for a write is an error of that write only. */
static void no_room_is_a_clean_error(const char *path) {
    struct rlimit limit, low;
    freyja_options options = FREYJA_OPTIONS_INIT;
    freyja_error failure;
    char *value = calloc(1, 1 << 20);
    CHECK(value != NULL);
    options.segment_size = 64 << 10;
    freyja_db *db = open_store(path, &options);
    CHECK_OK(put_text(db, "before", "kept"));
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    low = limit;
    low.rlim_cur = 512 << 10;
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
    CHECK_STATUS(freyja_put(db, "big", 3, value, 1 << 20), EFBIG);
    check_missing(db, "big", 3);
    check_text(db, "before", "kept");
    CHECK_STATUS(freyja_failure(db, &failure), FREYJA_NOT_FOUND);
    CHECK_OK(put_text(db, "small", "fits"));
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_OK(freyja_put(db, "big", 3, value, 1 << 20));
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    check_text(db, "small", "fits");
    check_value(db, "big", 3, value, 1 << 20);
    CHECK_OK(freyja_close(db));
    free(value);
}

/* The address space is filled up, so that a copy of a large value cannot be had. */
static void no_memory_is_an_error_and_passes(const char *path) {
    const size_t length = 32 << 20;
    struct rlimit limit, low;
    char *value = calloc(1, length), line[256];
    size_t pages = 0, got_len = 77;
    void *got = NULL;
    if (is_slow_run()) { /* such tools need the address space themselves */
        free(value);
        return;
    }
    CHECK(value != NULL);
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(put_text(db, "small", "value"));
    CHECK_OK(freyja_put(db, "large", 5, value, length));
    check_text(db, "small", "value");
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, "%zu", &pages) == 1);
    fclose(file);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    low = limit;
    low.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + (8 << 20);
    CHECK(setrlimit(RLIMIT_AS, &low) == 0);
    CHECK_STATUS(freyja_get(db, "large", 5, &got, &got_len), FREYJA_MEMORY);
    CHECK(got == NULL && got_len == 77);
    check_text(db, "small", "value");
    CHECK_OK(freyja_get_into(db, "large", 5, value, length, &got_len));
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    check_value(db, "large", 5, value, length);
    CHECK_OK(freyja_close(db));
    free(value);
}

/* Puts a pipe in the place of the store's segment file, behind the library's back: it cannot be synced. */
static void break_segment_file(void) {
    int broken = 0, ends[2];
    CHECK(pipe(ends) == 0);
    for (int descriptor = 3; descriptor < 100; descriptor++) {
        char name[64], target[4096];
        snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(name, target, sizeof target - 1);
        if (length < 4 || memcmp(target + length - 4, ".seg", 4) != 0)
            continue;
        CHECK(dup2(ends[1], descriptor) == descriptor);
        broken++;
    }
    CHECK(broken > 0);
    close(ends[0]);
    close(ends[1]);
}

/* What the mode syncs at once is written by a call, which fails for a pipe; else the sync is the first to. */
static void after_a_failure_reading_goes_on_and_writing_does_not(const char *path, uint32_t sync_mode, int expected) {
    freyja_error failure;
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.sync_mode = sync_mode;
    freyja_db *db = open_store(path, &options);
    CHECK_OK(put_text(db, "kept", "value"));
    break_segment_file();
    int status = put_text(db, "lost", "value");
    if (status == FREYJA_OK)
        status = freyja_sync(db);
    CHECK_STATUS(status, expected);
    CHECK_STATUS(put_text(db, "more", "value"), FREYJA_FAILED);
    CHECK_STATUS(delete_text(db, "kept"), FREYJA_FAILED);
    CHECK_STATUS(freyja_sync(db), FREYJA_FAILED);
    check_text(db, "kept", "value");
    CHECK_OK(freyja_failure(db, &failure));
    CHECK(failure.code == expected && failure.sys_errno == expected);
    CHECK(strstr(failure.message, ".seg") != NULL);
    CHECK_STATUS(freyja_close(db), FREYJA_FAILED);
    CHECK_STATUS(freyja_close(db), FREYJA_CLOSED);
    db = open_store(path, NULL);
    check_text(db, "kept", "value");
    CHECK_OK(put_text(db, "more", "value"));
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    errors_of_the_system_keep_their_errno(argv[1]);
    too_few_descriptors_are_an_errno_and_pass(path_in(argv[1], "descriptors"));
    a_budget_that_nothing_works_with_names_the_least(path_in(argv[1], "unsupported"));
    no_room_is_a_clean_error(path_in(argv[1], "room"));
    no_memory_is_an_error_and_passes(path_in(argv[1], "memory"));
    after_a_failure_reading_goes_on_and_writing_does_not(path_in(argv[1], "failed write"), FREYJA_SYNC_ALWAYS, ESPIPE);
    after_a_failure_reading_goes_on_and_writing_does_not(path_in(argv[1], "failed sync"), FREYJA_SYNC_NONE, EINVAL);
    return 0;
}
