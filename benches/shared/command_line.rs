//! What benchmarks share in reading their command lines: names and values by turns.

use std::str::FromStr;

/// The words behind the program's name, without the one that cargo adds.
pub fn words() -> impl Iterator<Item = String> {
    let words = std::env::args().skip(1);
    words.filter(|word| word != "--bench")
}

/// The number that `value` spells, or the end.
pub fn number<T: FromStr>(name: &str, value: &str, usage: &str) -> T {
    let number = value.parse();
    number.unwrap_or_else(|_| refuse(&format!("{name}: {value} is not a number"), usage))
}

/// The one of `names` that `text` is, or the end.
pub fn choice<T: Copy>(name: &str, text: &str, names: &[(T, &str)], usage: &str) -> T {
    match names.iter().find(|(_, known)| *known == text) {
        Some((choice, _)) => *choice,
        None => refuse(&format!("{name}: {text} is not possible"), usage),
    }
}

/// Says what is wrong with the command line, and ends.
pub fn refuse(message: &str, usage: &str) -> ! {
    eprintln!("{message}\nusage: {usage}");
    std::process::exit(2);
}
