//! The text format of Prometheus, version 0.0.4.

use std::fmt::{self, Display, Write};

use crate::error::{Error, Result};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises; its name ends with `_total`.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// A name, what it is, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Without the prefix `freyja_`, in the base unit, which it ends with.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// A sentence without an end.
    pub help: &'static str,
}

impl Metric {
    /// One that only rises.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        let kind = Kind::Counter;
        Self { name, kind, help }
    }

    /// One that rises and falls.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        let kind = Kind::Gauge;
        Self { name, kind, help }
    }
}

/// A text that grows metric by metric.
#[derive(Default)]
pub struct Text {
    text: String,
    failed: bool,
}

/// A value of a label, with backslashes, quotes and line ends escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => formatter.write_str("\\\\")?,
                '"' => formatter.write_str("\\\"")?,
                '\n' => formatter.write_str("\\n")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl Text {
    /// A metric with one value.
    pub fn single(&mut self, metric: &Metric, labels: &[(&str, &str)], value: impl Display) {
        self.begin(metric);
        self.value(metric, labels, value);
    }

    /// Begins a metric; its values follow.
    pub fn begin(&mut self, metric: &Metric) {
        let Metric { name, kind, help } = metric;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP freyja_{name} {help}."));
        self.line(format_args!("# TYPE freyja_{name} {kind}"));
    }

    /// A value of the metric that was begun last, with the labels that tell it from others.
    pub fn value(&mut self, metric: &Metric, labels: &[(&str, &str)], value: impl Display) {
        let name = metric.name;
        match labels {
            [] => self.line(format_args!("freyja_{name} {value}")),
            [(label, text)] => self.line(format_args!(
                "freyja_{name}{{{label}=\"{}\"}} {value}",
                Escaped(text)
            )),
            [(label, text), (other, of_other), ..] => self.line(format_args!(
                "freyja_{name}{{{label}=\"{}\",{other}=\"{}\"}} {value}",
                Escaped(text),
                Escaped(of_other)
            )),
        }
    }

    /// The whole text.
    ///
    /// # Errors
    /// `Memory` if it could not all be kept.
    pub fn finish(self) -> Result<String> {
        match self.failed {
            false => Ok(self.text),
            true => Err(Error::memory("the text of the metrics")),
        }
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.failed |= writeln!(Fallible(&mut self.text), "{line}").is_err();
    }
}

/// Writes to a string whose memory may be refused.
struct Fallible<'a>(&'a mut String);

impl Write for Fallible<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.try_reserve(piece.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_so_that_any_path_can_be_one() {
        let metric = Metric {
            name: "keys",
            kind: Kind::Gauge,
            help: "Keys in the store",
        };
        let mut text = Text::default();
        text.begin(&metric);
        text.value(&metric, &[("store", "a\\b\"c\nd")], 7);
        text.value(&metric, &[("store", "x"), ("after", "y")], 0.5);
        let expected = "# HELP freyja_keys Keys in the store.\n# TYPE freyja_keys gauge\n\
            freyja_keys{store=\"a\\\\b\\\"c\\nd\"} 7\nfreyja_keys{store=\"x\",after=\"y\"} 0.5\n";
        assert_eq!(text.finish().unwrap(), expected);
    }
}
