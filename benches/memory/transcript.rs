//! What a child process tells its parent, as lines of a word and numbers.

use std::fmt;

use crate::contestants::Counters;
use crate::latency::Summary;

/// A moment of a life. Bytes are those since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub keys: u64,
    /// As the system counts.
    pub resident: u64,
    /// As the contestant counts, where it does.
    pub counters: Option<Counters>,
}

/// The end of a hundredth part of the fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub keys: u64,
    /// Bytes of these keys.
    pub key_bytes: u64,
    pub resident: u64,
    /// The highest seen since the sample before.
    pub highest: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// First the fresh one.
    pub states: Vec<State>,
    pub samples: Vec<Sample>,
    /// Of the puts of the fill, if they were timed.
    pub puts: Option<Summary>,
}

impl fmt::Display for Transcript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for state in &self.states {
            write!(formatter, "state {} {}", state.keys, state.resident)?;
            if let Some(counters) = state.counters {
                let Counters {
                    memory,
                    slab_allocated,
                    slab_wasted,
                } = counters;
                write!(formatter, " {memory} {slab_allocated} {slab_wasted}")?;
            }
            writeln!(formatter)?;
        }
        for sample in &self.samples {
            let Sample {
                keys,
                key_bytes,
                resident,
                highest,
            } = sample;
            writeln!(formatter, "sample {keys} {key_bytes} {resident} {highest}")?;
        }
        if let Some(Summary {
            wall,
            processor,
            processor_of_slowest,
        }) = self.puts
        {
            write!(formatter, "puts")?;
            for number in wall.iter().chain(&processor) {
                write!(formatter, " {number}")?;
            }
            writeln!(formatter, " {processor_of_slowest}")?;
        }
        Ok(())
    }
}

impl Transcript {
    /// `None` if the lines are not such as this program prints.
    pub fn parse(text: &str) -> Option<Transcript> {
        let mut transcript = Transcript::default();
        for line in text.lines() {
            let (word, numbers) = line.split_once(' ')?;
            let numbers: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
            match (word, &*numbers.ok()?) {
                ("state", &[keys, resident, ref counters @ ..]) => {
                    let counters = match *counters {
                        [] => None,
                        [memory, slab_allocated, slab_wasted] => Some(Counters {
                            memory,
                            slab_allocated,
                            slab_wasted,
                        }),
                        _ => return None,
                    };
                    transcript.states.push(State {
                        keys,
                        resident,
                        counters,
                    });
                }
                ("sample", &[keys, key_bytes, resident, highest]) => {
                    transcript.samples.push(Sample {
                        keys,
                        key_bytes,
                        resident,
                        highest,
                    })
                }
                ("puts", &[ref quantiles @ .., processor_of_slowest]) => {
                    let (wall, processor) = quantiles.split_at_checked(quantiles.len() / 2)?;
                    transcript.puts = Some(Summary {
                        wall: wall.try_into().ok()?,
                        processor: processor.try_into().ok()?,
                        processor_of_slowest,
                    });
                }
                _ => return None,
            }
        }
        (!transcript.states.is_empty()).then_some(transcript)
    }
}
