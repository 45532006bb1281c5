//! Turns and rounds.

use std::fs;

use freyja_peers::machine;
use freyja_peers::median::median;
use freyja_peers::pairs::Pairs;

use crate::arguments::Arguments;
use crate::contender::Contender;

/// Length in bytes of the values.
pub const VALUE_LEN: usize = 100;

/// What was measured.
pub struct Results {
    /// Names and options of what was measured, the raw ways first.
    pub contenders: Vec<(String, &'static str)>,
    /// Puts a second: by number of threads as in the arguments, by contender, by round.
    pub rates: Vec<Vec<Vec<f64>>>,
    /// The commit that was measured.
    pub commit: String,
}

impl Results {
    /// The median over the rounds of one contender's rate divided by another's in the same round.
    pub fn ratio(&self, threads: usize, of: usize, by: usize) -> Option<f64> {
        let rates = &self.rates[threads];
        let pairs = rates[of].iter().zip(&rates[by]);
        median(&pairs.map(|(of, by)| of / by).collect::<Vec<_>>())
    }
}

/// Runs all rounds.
pub fn run(arguments: &Arguments) -> Results {
    // Asked before anything is written.
    let commit = machine::commit();
    fs::create_dir_all(&arguments.directory).expect("the directory can be made");
    let place = tempfile::tempdir_in(&arguments.directory).expect("a temporary directory");
    let pairs = Pairs::new(VALUE_LEN);
    let contenders = Contender::all(place.path());
    let mut rates = vec![vec![Vec::new(); contenders.len()]; arguments.threads.len()];
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        for (&threads, rates) in arguments.threads.iter().zip(&mut rates) {
            // Each goes first as often as any other.
            for turn in 0..contenders.len() {
                let at = (turn + round) % contenders.len();
                rates[at].push(contenders[at].run(threads, arguments.turn, &pairs));
            }
        }
    }
    let told = |contender: &Contender| (contender.name.clone(), contender.options);
    let results = Results {
        contenders: contenders.iter().map(told).collect(),
        rates,
        commit,
    };
    for contender in contenders {
        contender.finish(&pairs);
    }
    results
}
