/* Wrong on purpose: says that four bytes are a hundred. The sanitizer must notice. */
#include "../check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_db *db = open_store(path_in(argv[1], "store"), NULL);
    char *four = malloc(4);
    size_t length;
    CHECK_OK(put_text(db, "key", "much more than four bytes of a value"));
    CHECK_OK(freyja_get_into(db, "key", 3, four, 100, &length));
    free(four);
    CHECK_OK(freyja_close(db));
    return 0;
}
