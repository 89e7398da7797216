//! Queries for restricted parameters: a good one, beside whatever some reader may take for a second one.

use tests::Random;

/// A parameter with a restriction, and the one value that the restriction allows.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    /// Where PHP puts the parameter: it has other characters in names, and arrays.
    pub(super) in_php: &'static [&'static str],
    /// Where `qs` puts it, which has objects.
    pub(super) in_qs: &'static [&'static str],
}

/// What is restricted, each by a token of its own.
pub(super) const RULES: [Rule; 5] = [
    Rule { name: "permissions", value: "true", in_php: &["permissions"], in_qs: &["permissions"] },
    Rule { name: "date_from", value: "2018-01-01", in_php: &["date_from"], in_qs: &["date_from"] },
    Rule { name: "filter.name", value: "open", in_php: &["filter_name"], in_qs: &["filter.name"] },
    Rule { name: "filter[name]", value: "open", in_php: &["filter", "name"], in_qs: &["filter", "name"] },
    Rule { name: "user name", value: "bob", in_php: &["user_name"], in_qs: &["user name"] },
];

impl Rule {
    /// The restriction.
    pub(super) fn line(&self) -> String {
        format!("/rest/q[QueryParam::{}=={}]", self.name, self.value)
    }
}

/// A query, and what is odd about it.
pub(super) struct Query {
    pub(super) kind: &'static str,
    pub(super) text: Vec<u8>,
}

/// Other parameters, such as any client sends.
const OTHERS: [&str; 14] = [
    "expand=changelog",
    "startAt=0",
    "maxResults=50",
    "jql=project+%3D+JRA",
    "q=%C3%A9t%C3%A9",
    "fields=summary,status",
    "since=2024-01-01T00:00:00%2B01:00",
    "id=1",
    "id=2",
    "empty=",
    "flag",
    "x-y=z",
    "_=1700000000000",
    "text=a%26b%3Dc",
];

impl Query {
    /// One at random.
    pub(super) fn new(random: &mut Random, rule: &Rule) -> Self {
        match random.below(100) {
            0..30 => Self::ordinary(random, rule),
            30..40 => Self::wrong(random, rule),
            40..42 => Self::crowded(random, rule),
            42..50 => Self::odd_as_a_whole(random, rule),
            _ => Self::with_twins(random, rule),
        }
    }

    /// What clients send.
    fn ordinary(random: &mut Random, rule: &Rule) -> Self {
        let mut pairs = others(random, 4);
        for _ in 0..1 + usize::from(random.once_in(8)) {
            pairs.push(good(random, rule));
        }
        Self::joined(random, "ordinary", pairs)
    }

    /// What any reader finds to be wrong.
    fn wrong(random: &mut Random, rule: &Rule) -> Self {
        let mut pairs = others(random, 4);
        if !random.once_in(4) {
            pairs.push([spelled(random, rule.name), b"=".into(), wrong_value(random, rule)].concat());
        }
        if random.once_in(2) {
            pairs.push(good(random, rule));
        }
        Self::joined(random, "wrong or absent", pairs)
    }

    /// About as many parameters as some servers read, the restricted one among the first or the last.
    fn crowded(random: &mut Random, rule: &Rule) -> Self {
        let count = 990 + random.below(20);
        let mut pairs: Vec<Vec<u8>> = (0..count).map(|number| format!("p{number}=1").into_bytes()).collect();
        let twin = [spelled(random, rule.name), b"=".into(), wrong_value(random, rule)].concat();
        let mut few = vec![good(random, rule)];
        if random.once_in(2) {
            few.push(twin);
        }
        if random.once_in(2) {
            few.extend(std::mem::take(&mut pairs));
            pairs = few;
        } else {
            pairs.extend(few);
        }
        Self { kind: "about 1,000 parameters", text: pairs.join(&b'&') }
    }

    /// Separators and values that are read in several ways.
    fn odd_as_a_whole(random: &mut Random, rule: &Rule) -> Self {
        let (name, value, bad) = (rule.name.replace(' ', "+"), rule.value, wrong_value(random, rule));
        let bad = String::from_utf8_lossy(&bad).into_owned();
        let forms = [
            format!("{name}={value};{name}={bad}"),
            format!("a=1;{name}={bad}&{name}={value}"),
            format!("{name}={value}&a=1;{name}={bad}"),
            format!("{name}={value}&;{name}={bad}"),
            format!("{name}={value}&amp;{name}={bad}"),
            format!("{name}={value}&&{name}={bad}"),
            format!("{name}={value}%26{name}={bad}"),
            format!("{name}={value}&a=1%26{name}={bad}"),
            format!("{name}={value}#&{name}={bad}"),
            format!("{name}={value}&?{name}={bad}"),
            format!("?{name}={value}"),
            format!("?{name}={bad}&{name}={value}"),
            format!("{name}={value}?{name}={bad}"),
            format!("{name}={value}&a=%0d%0a{name}={bad}"),
            format!("{name}={value}\t&{name}={bad}"),
            format!("{name}={value}%00"),
            format!("{name}={value}%00&{name}={value}"),
            format!("{name}={value}+"),
            format!("{name}=%20{value}"),
            format!("{name}=={value}"),
            format!("{name}={value}="),
            name.clone(),
            format!("{name}&{name}={value}"),
            format!("{name}={value}&{name}"),
            format!("={value}&{name}={value}"),
            format!("={name}={bad}&{name}={value}"),
            format!("={bad}&{name}={value}"),
            format!("&&&{name}={value}&&="),
            format!("{name}={value}&a=b[{name}]={bad}"),
            format!("{name}={value}&=[{name}]={bad}"),
            format!("{name}={value}&a[=]{name}={bad}"),
            format!("{name}={value}[]={bad}"),
            format!("{name}={value}&{name}[={bad}"),
            format!("{name}={value}&a=%zz"),
            format!("{name}={value}&a=%"),
            format!("{name}={value}&a=%ff"),
            format!("{name}={value}&a=%c0%af"),
            format!("{name}={value}&a=%u0041"),
            format!("{name}={value}&a=\u{e9}"),
            format!("{name}={value}&a=%F0%9F%98%80"),
            format!("{name}={value}&a=\"'<>\\^`{{|}}"),
            format!("{name}={value}&utf8=%E2%9C%93&_charset_=iso-8859-1"),
            format!("{name}={value}&charset=utf-16&a=%00"),
            format!("__proto__[{name}]={bad}&{name}={value}"),
            format!("constructor[prototype][{name}]={bad}&{name}={value}"),
            format!("{name}={value}&__proto__={bad}&hasOwnProperty={bad}&toString={bad}"),
            format!("{name}={value}&_method=POST&{name}:={bad}&{name}!={bad}"),
            format!("{name}={value},{bad}"),
            format!("{name}={value}&{name}={value},{bad}"),
        ];
        Self { kind: "odd as a whole", text: random.pick(&forms).clone().into_bytes() }
    }

    /// A good one, and one or two whose names some readers may take for it.
    fn with_twins(random: &mut Random, rule: &Rule) -> Self {
        let mut pairs = others(random, 2);
        if !random.once_in(6) {
            pairs.push(good(random, rule));
        }
        let mut kind = "";
        for _ in 0..1 + usize::from(random.once_in(6)) {
            let (oddity, twin) = twin(random, rule.name);
            let value = if random.once_in(5) { spelled(random, rule.value) } else { wrong_value(random, rule) };
            pairs.push(if random.once_in(12) { twin } else { [twin, b"=".into(), value].concat() });
            kind = if kind.is_empty() { oddity } else { "two of these" };
        }
        Self::joined(random, kind, pairs)
    }

    fn joined(random: &mut Random, kind: &'static str, mut pairs: Vec<Vec<u8>>) -> Self {
        random.shuffle(&mut pairs);
        let separator: &[u8] = if random.once_in(20) { b"&&" } else { b"&" };
        Self { kind, text: pairs.join(separator) }
    }
}

fn others(random: &mut Random, at_most: usize) -> Vec<Vec<u8>> {
    (0..random.below(at_most + 1)).map(|_| random.one_of(&OTHERS).as_bytes().to_vec()).collect()
}

/// The parameter as the restriction wants it.
fn good(random: &mut Random, rule: &Rule) -> Vec<u8> {
    [spelled(random, rule.name), b"=".into(), spelled(random, rule.value)].concat()
}

fn wrong_value(random: &mut Random, rule: &Rule) -> Vec<u8> {
    let wrong = ["false", "*", "", "2030-01-01", "closed", "1", "%00", "TRUE", "a%20b", "%E2%9C%93", "__proto__"];
    match random.below(16) {
        0 => [rule.value, "%00"].concat().into_bytes(),
        1 => [rule.value, "+"].concat().into_bytes(),
        2 => rule.value.to_uppercase().into_bytes(),
        _ => random.one_of(&wrong).as_bytes().to_vec(),
    }
}

/// A text as it may stand in a query: some characters are escaped though they need not be.
fn spelled(random: &mut Random, text: &str) -> Vec<u8> {
    let escape_all = random.once_in(20);
    let some = random.once_in(4);
    let mut spelled = Vec::new();
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_bracket = matches!(byte, b'[' | b']');
        if byte == b' ' && random.once_in(2) {
            spelled.push(b'+');
        } else if (is_plain && !escape_all && !(some && random.once_in(5))) || (is_bracket && random.once_in(2)) {
            spelled.push(byte);
        } else {
            spelled.extend(escaped(random, byte));
        }
    }
    spelled
}

fn escaped(random: &mut Random, byte: u8) -> Vec<u8> {
    if random.once_in(2) { format!("%{byte:02x}") } else { format!("%{byte:02X}") }.into_bytes()
}

/// A name that is not the restricted one, byte for byte, and may be to somebody; what is odd about it.
fn twin(random: &mut Random, name: &str) -> (&'static str, Vec<u8>) {
    const SPACES: [&str; 12] =
        ["+", "%20", "%09", "%0a", "%0d", "%0b", "%0c", "%c2%a0", "%c2%85", "%e2%80%a8", "%e3%80%80", "++"];
    const CONTROLS: [&str; 10] =
        ["%00", "%01", "%08", "%1b", "%1f", "%7f", "%c2%ad", "%e2%80%8b", "%ef%bb%bf", "%cc%81"];
    const BRACKETS: [&str; 24] = [
        "[]",
        "[0]",
        "[1]",
        "[-1]",
        "[a]",
        "[",
        "]",
        "[[]]",
        "[][]",
        "[][0]",
        "[0][a]",
        "[+]",
        "[%00]",
        "[]x",
        "[0]x",
        "[][",
        "][",
        "[]]",
        "[21]",
        "[ ]",
        "[%2e]",
        "[__proto__]",
        "[length]",
        "[0",
    ];
    let plain = spelled(random, name);
    let at = random.below(name.len() + 1);
    let with = |start: &str, end: &str| [start.as_bytes(), &plain, end.as_bytes()].concat();
    let within = |part: &str| {
        let (before, after) = name.split_at(at);
        [before, part, after].concat().replace(' ', "+").into_bytes()
    };
    match random.below(14) {
        0 => ("in another case", other_case(random, name)),
        1 => ("white space before it", with(random.one_of(&SPACES), "")),
        2 => ("white space after it", with("", random.one_of(&SPACES))),
        3 | 4 => ("separators swapped", swapped(random, name)),
        5 | 6 => {
            let brackets = random.one_of(&BRACKETS).replace(' ', "%20");
            let brackets = if random.once_in(3) { percent(&brackets) } else { brackets };
            ("brackets after it", with("", &brackets))
        }
        7 => {
            let forms = [
                ("[", "]"),
                ("[", ""),
                ("]", ""),
                ("[]", ""),
                ("a][", ""),
                ("[][", "]"),
                ("[[", "]]"),
                ("[", "][]"),
                ("[a][", "]"),
                ("", "]["),
                ("__proto__[", "]"),
                ("[", "]x"),
            ];
            let (start, end) = random.one_of(&forms);
            let (start, end) =
                if random.once_in(3) { (percent(start), percent(end)) } else { (start.into(), end.into()) };
            ("brackets around it", with(&start, &end))
        }
        8 => ("NUL after it", with("", random.one_of(&["%00", "%00x", "%00[]", "%00%00", "%00=", "[%00]", "%00+"]))),
        9 => ("a control character within", within(random.one_of(&CONTROLS))),
        10 => {
            let twice: String = name.bytes().map(|byte| format!("%25{byte:02x}")).collect();
            let brackets = format!("{}%255B%255D", name.replace(' ', "+"));
            let separators = name.replace(['_', '.', '[', ' '], "%252e");
            ("escaped twice", random.pick(&[twice, brackets, separators]).clone().into_bytes())
        }
        11 => {
            ("invalid escapes", within(random.one_of(&["%zz", "%", "%1", "%u0061", "%+1", "%%", "%0", "%ff", "%c3"])))
        }
        12 => ("characters in disguise", disguised(random, name)),
        _ => {
            let forms =
                ["{}.", ".{}", "{}.0", "{}[].x", "{}:", "{}~", "{}*", "{}@", "${}", "{};", ";{}", "a.{}", "{}/", "?{}"];
            let form = random.one_of(&forms).replace("{}", &name.replace(' ', "+"));
            ("something beside it", form.into_bytes())
        }
    }
}

fn percent(text: &str) -> String {
    text.replace('[', "%5B").replace(']', "%5d")
}

fn other_case(random: &mut Random, name: &str) -> Vec<u8> {
    let upper = name.to_uppercase();
    let mixed: String = name.chars().map(|c| if random.once_in(3) { c.to_ascii_uppercase() } else { c }).collect();
    let first = [&name[..1].to_uppercase(), &name[1..]].concat();
    random.pick(&[upper, mixed, first]).replace(' ', "+").into_bytes()
}

/// With other separators in place of its own, or of a letter if it has none.
fn swapped(random: &mut Random, name: &str) -> Vec<u8> {
    const SEPARATORS: [&str; 12] = ["_", ".", "+", "%20", "[", "%5B", "-", "%2e", "%5f", "]", "%00", "__"];
    if !name.contains(['_', '.', '[', ' ']) {
        let at = random.below(name.len());
        return [&name[..at], random.one_of(&SEPARATORS), &name[at..]].concat().into_bytes();
    }
    let mut swapped = String::new();
    for character in name.chars() {
        match character {
            '_' | '.' | '[' | ']' | ' ' if !random.once_in(5) => swapped.push_str(random.one_of(&SEPARATORS)),
            ' ' => swapped.push('+'),
            other => swapped.push(other),
        }
    }
    swapped.into_bytes()
}

/// With a character that looks like one of its own, or becomes it.
fn disguised(random: &mut Random, name: &str) -> Vec<u8> {
    const DISGUISES: [(char, &str); 10] = [
        ('i', "ı"),
        ('s', "ſ"),
        ('e', "е"),
        ('a', "ａ"),
        ('m', "ｍ"),
        ('n', "ⁿ"),
        ('.', "．"),
        ('_', "＿"),
        ('[', "［"),
        ('r', "ʳ"),
    ];
    let of_name: Vec<_> = DISGUISES.iter().filter(|(plain, _)| name.contains(*plain)).collect();
    let (plain, disguise) = random.one_of(&of_name);
    let escaped: String = disguise.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let with = if random.once_in(8) { disguise } else { escaped.as_str() };
    name.replacen(*plain, with, 1).replace(' ', "+").into_bytes()
}
