//! File bytes as memory.
