# Sums the lines of callgrind_annotate by folder of this tree's source, by crate, and by library; `operations` is how many were counted.
/PROGRAM TOTALS/ { printed = 1; next }
printed && /%\)/ {
    number = $1
    gsub(",", "", number)
    place = $0
    sub(/^[^)]*\) +/, "", place)
    if (match(place, /registry\/src\/[^\/]*\/[^\/]*/)) {
        part = substr(place, RSTART, RLENGTH)
        sub(/.*\//, "", part)
    } else if (place ~ /\/library\/(core|alloc|std|std_detect)\//)
        part = "standard library, inlined everywhere"
    else if (place ~ /operations\.c:/)
        part = "the benchmark itself"
    else if (match(place, /src\/[a-z]+[\/.]/))
        part = substr(place, RSTART, RLENGTH - 1)
    else
        part = "C library"
    sum[part] += number
    all += number
}
END {
    for (part in sum)
        if (sum[part] >= operations)
            printf "%6d  %s\n", sum[part] / operations, part
    printf "%6d  all\n", all / operations
}
