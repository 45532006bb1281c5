/* A store is open for writing once at a time, in this process or another, and for reading as often as one likes. */
#include "processes.h"

static int try_open(const char *path, uint32_t flags) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    freyja_db *db = NULL;
    freyja_error error;
    options.flags = flags;
    int status = freyja_open(path, &options, &db, &error);
    if (status == FREYJA_OK)
        CHECK_OK(freyja_close(db));
    else
        CHECK(db == NULL && error.code == status && error.message[0] != '\0');
    return status;
}

/* The second process: exit code 0 if it could open, 1 if the store was busy, 2 otherwise. */
static int role_try(const char *path) {
    int status = try_open(path, 0);
    return status == FREYJA_OK ? 0 : status == FREYJA_BUSY ? 1 : 2;
}

/* The second process: holds the store until it is killed. */
static int role_hold(const char *path) {
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(put_text(db, "holder", "was here"));
    CHECK(write(1, "!", 1) == 1);
    for (;;)
        pause();
}

static void the_same_process_is_refused_under_every_name(const char *directory) {
    char *path = path_in(directory, "same"), *link = path_in(directory, "link");
    freyja_db *db = open_store(path, NULL);
    freyja_error error;
    freyja_db *second = NULL;
    CHECK(symlink(path, link) == 0);
    CHECK_STATUS(freyja_open(path, NULL, &second, &error), FREYJA_BUSY);
    CHECK(error.code == FREYJA_BUSY && strstr(error.message, path) != NULL);
    CHECK_STATUS(try_open(path_in(directory, "same/"), 0), FREYJA_BUSY);
    CHECK_STATUS(try_open(path_in(directory, "./same/../same"), 0), FREYJA_BUSY);
    CHECK_STATUS(try_open(link, 0), FREYJA_BUSY);
    CHECK_STATUS(try_open(path, FREYJA_MUST_EXIST), FREYJA_BUSY);
    CHECK_OK(try_open(path, FREYJA_READ_ONLY_STORE));
    CHECK_STATUS(try_open(path, 0), FREYJA_BUSY);
    CHECK_OK(put_text(db, "still", "working"));
    check_text(db, "still", "working");
    CHECK_OK(freyja_close(db));
    CHECK_OK(try_open(link, 0));
}

static void another_process_is_refused_until_the_store_is_closed(const char *program, const char *path) {
    freyja_db *db = open_store(path, NULL);
    CHECK(outcome_of(run_again(program, "try", path, -1)) == 1);
    /* A refused opener must not have released anything. */
    CHECK(outcome_of(run_again(program, "try", path, -1)) == 1);
    CHECK_STATUS(try_open(path, 0), FREYJA_BUSY);
    CHECK_OK(freyja_close(db));
    CHECK(outcome_of(run_again(program, "try", path, -1)) == 0);
    CHECK_OK(try_open(path, 0));
}

static void a_killed_process_holds_nothing(const char *program, const char *path) {
    int output[2];
    char byte;
    CHECK(pipe(output) == 0);
    pid_t child = run_again(program, "hold", path, output[1]);
    close(output[1]);
    CHECK(read(output[0], &byte, 1) == 1 && byte == '!');
    CHECK_STATUS(try_open(path, 0), FREYJA_BUSY);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(outcome_of(child) == -SIGKILL);
    close(output[0]);
    freyja_db *db = open_store(path, NULL);
    check_text(db, "holder", "was here");
    CHECK_OK(freyja_close(db));
}

static void readers_share_and_keep_nobody_out(const char *path) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    CHECK_OK(try_open(path, 0));
    options.flags = FREYJA_READ_ONLY_STORE;
    freyja_db *one = open_store(path, &options), *two = open_store(path, &options);
    CHECK(one != two);
    CHECK_OK(try_open(path, 0));
    CHECK_OK(freyja_close(one));
    freyja_db *db = open_store(path, NULL);
    CHECK_STATUS(try_open(path, 0), FREYJA_BUSY);
    CHECK_OK(freyja_close(db));
    CHECK(count_of(two) == 0);
    CHECK_OK(freyja_close(two));
    CHECK_OK(try_open(path, 0));
}

int main(int argc, char **argv) {
    if (argc == 3)
        return strcmp(argv[1], "try") == 0 ? role_try(argv[2]) : role_hold(argv[2]);
    CHECK(argc == 2);
    the_same_process_is_refused_under_every_name(argv[1]);
    another_process_is_refused_until_the_store_is_closed(argv[0], path_in(argv[1], "other"));
    a_killed_process_holds_nothing(argv[0], path_in(argv[1], "killed"));
    readers_share_and_keep_nobody_out(path_in(argv[1], "readers"));
    return 0;
}
