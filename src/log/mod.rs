//! Bytes on disk: records, segments, and the scanner that reads them back. Knows no index.
