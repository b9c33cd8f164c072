//! Mutation: input that is almost right.
//!
//! Owns:  what may happen to a seed.
//! Never: knows what the input means: a target gives its seeds and its words.

use crate::random::Random;

/// Longest input: several times what is needed to be wrong in every way.
const INPUT_MAX: usize = 32 * 1024;

/// Bytes that are often handled wrongly.
const ODD: [u8; 14] = [0, 1, 9, 10, 13, 32, 34, 47, 92, 127, 128, 0xc0, 0xed, 255];

/// Numbers that are often handled wrongly.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1e400",
    "-0",
    "255",
    "256",
    "65536",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551616",
    "0.1e-7",
];

/// What the input of a target is made of.
pub(crate) struct Corpus {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Corpus {
    pub(crate) fn new(seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        Self { seeds, words }
    }

    pub(crate) fn seeds(&self) -> impl Iterator<Item = &[u8]> {
        self.seeds.iter().map(Vec::as_slice)
    }

    /// One input: a seed to which some things have happened, seldom mere noise.
    pub(crate) fn draw(&self, random: &mut Random) -> Vec<u8> {
        if random.percent(3) {
            let length = random.range(0, 300);
            return (0..length).map(|_| random.bits().to_le_bytes()[0]).collect();
        }
        let mut input = random.pick(&self.seeds);
        for _ in 0..random.range(1, 7) {
            self.mutate(&mut input, random);
            input.truncate(INPUT_MAX);
        }
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, random: &mut Random) {
        let from = place(input.len(), random);
        // Short pieces more often than long ones.
        let longest = random.pick(&[1, 2, 4, 16, 64, 4096]);
        let to = (from + place(longest, random)).min(input.len());
        match random.range(0, 12) {
            0 if from < input.len() => input[from] ^= 1 << random.range(0, 8),
            1 if from < input.len() => input[from] = random.pick(&ODD),
            2 => insert(input, from, random.pick(&ODD).to_le_bytes().as_slice()),
            3 => drop(input.drain(from..to)),
            4 => {
                let piece = input[from..to].to_vec();
                insert(input, to, &piece);
            }
            5 => input.truncate(from),
            6 => {
                let other = random.pick(&self.seeds);
                let start = place(other.len(), random);
                let end = (start + place(longest, random)).min(other.len());
                drop(input.splice(from..to, other[start..end].iter().copied()));
            }
            7 => {
                // Nesting, or a very long word.
                let word = self.word(random).repeat(random.pick(&[2, 10, 200, 1000]));
                insert(input, from, word.as_bytes());
            }
            8 => number(input, from, random),
            9 => drop(input.splice(from..to, self.word(random).bytes())),
            _ => insert(input, from, self.word(random).as_bytes()),
        }
    }

    fn word(&self, random: &mut Random) -> &'static str {
        random.pick(self.words)
    }
}

/// Replaces the next number by one that is seldom thought of.
fn number(input: &mut Vec<u8>, from: usize, random: &mut Random) {
    let Some(start) = (from..input.len()).find(|at| input[*at].is_ascii_digit()) else { return };
    let end = (start..input.len()).find(|at| !input[*at].is_ascii_digit()).unwrap_or(input.len());
    drop(input.splice(start..end, random.pick(&NUMBERS).bytes()));
}

fn place(length: usize, random: &mut Random) -> usize {
    usize::try_from(random.range(0, length as u64 + 1)).unwrap()
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}
