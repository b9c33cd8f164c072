//! Names of options: finding the option that a name means, and the nearest one to a name that none has.
//!
//! Owns:  dotted names, names of environment variables, and what "did you mean" offers.
//! Never: looks at values.

use super::table::{OPTIONS, Opt};

/// What a name leads to.
pub(crate) enum Found<'a> {
    /// An option, with what stands for its `*`.
    Option(&'static Opt, Option<&'a str>),
    /// A section with options below it.
    Section,
    /// Nothing.
    Nothing,
}

/// Finds what a dotted name means.
pub(crate) fn find<'a>(name: &[&'a str]) -> Found<'a> {
    let mut section = false;
    for opt in OPTIONS.iter() {
        match follow(opt, name, |own, given| own == given) {
            Follow::All(free) => return Found::Option(opt, free),
            Follow::Part => section = true,
            Follow::Away => {}
        }
    }
    if section { Found::Section } else { Found::Nothing }
}

/// Finds the option of an environment variable. `None` also for a section's name.
pub(crate) fn find_variable(variable: &str) -> Option<(&'static Opt, Option<&str>)> {
    let segments: Vec<&str> = variable.strip_prefix(VARIABLE_PREFIX)?.split("__").collect();
    OPTIONS.iter().find_map(|opt| match follow(opt, &segments, |own, given| own.to_uppercase() == given) {
        Follow::All(free) => Some((opt, free)),
        _ => None,
    })
}

/// What every variable begins with.
pub(crate) const VARIABLE_PREFIX: &str = "OUTBOXD_";

/// The environment variable of an option; `NAME` stands for `*`.
pub(crate) fn variable_of(opt: &Opt) -> String {
    let segments: Vec<String> = opt
        .segments()
        .map(|segment| if segment == "*" { "NAME".to_owned() } else { segment.to_uppercase() })
        .collect();
    format!("{VARIABLE_PREFIX}{}", segments.join("__"))
}

enum Follow<'a> {
    All(Option<&'a str>),
    Part,
    Away,
}

fn follow<'a>(opt: &Opt, name: &[&'a str], same: fn(&str, &str) -> bool) -> Follow<'a> {
    let mut free = None;
    let mut own = opt.segments();
    for segment in name {
        match own.next() {
            Some("*") if !segment.is_empty() => free = Some(*segment),
            Some(expected) if same(expected, segment) => {}
            _ => return Follow::Away,
        }
    }
    if own.next().is_none() { Follow::All(free) } else { Follow::Part }
}

/// The full name of a concrete option, quoted where TOML needs it.
pub(crate) fn dotted(name: &[&str]) -> String {
    let quoted = |segment: &&str| {
        let bare = !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if bare { (*segment).to_owned() } else { toml::Value::String((*segment).to_owned()).to_string() }
    };
    name.iter().map(quoted).collect::<Vec<_>>().join(".")
}

/// What was probably meant by an unknown key or section.
pub(crate) fn hint_for_key(name: &[&str]) -> Option<String> {
    let (last, section) = name.split_last()?;
    let siblings = children_of(section);
    if let Some(near) = nearest(last, siblings.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    if let Some(home) = OPTIONS.iter().find(|opt| opt.key == *last && !opt.section.contains('*')) {
        return Some(format!("`{last}` belongs into [{}]", home.section));
    }
    if siblings.is_empty() {
        return None;
    }
    Some(format!("known here: {}", siblings.join(", ")))
}

/// What was probably meant by an unknown environment variable.
pub(crate) fn hint_for_variable(variable: &str) -> Option<String> {
    let known: Vec<String> = OPTIONS.iter().map(variable_of).collect();
    let near = nearest(variable, known.iter().map(String::as_str))?;
    Some(format!("did you mean `{near}`?"))
}

/// Keys and sections directly below a section, each once, in the table's order.
fn children_of(section: &[&str]) -> Vec<&'static str> {
    let mut children: Vec<&'static str> = Vec::new();
    for opt in OPTIONS.iter() {
        if !matches!(follow(opt, section, |own, given| own == given), Follow::Part) {
            continue;
        }
        let child = opt.segments().nth(section.len()).filter(|child| *child != "*");
        children.extend(child.filter(|child| !children.contains(child)));
    }
    children
}

/// The known word that is nearest to a text, if one is near enough to be meant: a third of its letters may differ.
pub(crate) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let by_distance = known.map(|word| (strsim::damerau_levenshtein(&text, &word.to_lowercase()), word));
    let (distance, word) = by_distance.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(word)
}
