/* Wrong on purpose: loses memory. The leak checkers must notice. */
#include "../check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_db *db = open_store(path_in(argv[1], "store"), NULL);
    for (int n = 0; n < 100; n++) {
        volatile char *lost = malloc(100);
        CHECK(lost != NULL);
        lost[0] = 1;
    }
    CHECK_OK(freyja_close(db));
    return 0;
}
