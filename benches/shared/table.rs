//! A table that reads well both in a terminal and as Markdown.

use std::fmt;

/// Rows of cells under headings.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// This many columns on the left hold words; numbers are aligned to the right.
    words: usize,
}

impl Table {
    /// A table of so many columns; numbers are in those behind the first `words`.
    pub fn new(words: usize, headings: &[&str]) -> Table {
        let headings = headings.iter().map(|heading| heading.to_string()).collect();
        Table {
            rows: vec![headings],
            words,
        }
    }

    /// Adds a row; cells that it has not are empty.
    pub fn add(&mut self, mut row: Vec<String>) {
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.rows[0].len())
            .map(|column| self.width(column))
            .collect();
        for (at, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if column < self.words {
                    write!(formatter, "| {cell:<width$} ")?;
                } else {
                    write!(formatter, "| {cell:>width$} ")?;
                }
            }
            writeln!(formatter, "|")?;
            if at == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(width);
                    match column < self.words {
                        true => write!(formatter, "| {dashes} ")?,
                        false => write!(formatter, "| {dashes}:")?,
                    }
                }
                writeln!(formatter, "|")?;
            }
        }
        Ok(())
    }
}
