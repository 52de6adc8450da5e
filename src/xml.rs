//! A reader of the XML that AWS's Query APIs and S3 answer with: elements, text, the five named entities and numbered ones. Names of
//! attributes and namespaces are passed over, nothing is fetched, and document types are refused. What the elements mean is
//! `schema`'s business. A crate would read much more than there is, and would weigh several times this file.

use std::borrow::Cow;

/// Elements inside one another at the most: EC2's answers have about a dozen.
const MAX_DEPTH: usize = 64;

/// An element.
#[derive(Debug)]
pub(crate) struct Element<'a> {
    name: &'a str,
    text: Cow<'a, str>,
    children: Vec<Element<'a>>,
}

impl<'a> Element<'a> {
    /// Reads a whole document; `None` for everything that is not one.
    pub(crate) fn parse(document: &'a str) -> Option<Self> {
        let mut reader = Reader { rest: document.trim_start_matches('\u{feff}') };
        reader.misc()?;
        let root = reader.element(0)?;
        reader.misc()?;
        reader.rest.is_empty().then_some(root)
    }

    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// The first child of a name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|it| it.name == name)
    }

    /// All children of a name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |it| it.name == name)
    }

    /// The `item` elements of a child; of a child that is not there, none.
    pub(crate) fn items(&self, name: &str) -> impl Iterator<Item = &Self> {
        let set = self.child(name).into_iter();
        set.flat_map(|it| it.children.iter()).filter(|it| it.name == "item")
    }

    /// The text of a descendant, by the names on the way to it; empty where there is none.
    pub(crate) fn text(&self, path: &[&str]) -> &str {
        let found = path.iter().try_fold(self, |element, name| element.child(name));
        found.map_or("", |it| it.text.as_ref())
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What comes before an end mark, which is taken, too.
    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(before)
    }

    /// Declaration, comments and white space around the root.
    fn misc(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.trim_start();
            if self.skip("<?") {
                self.until("?>")?;
            } else if self.skip("<!--") {
                self.until("-->")?;
            } else {
                return Some(());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Option<Element<'a>> {
        if depth == MAX_DEPTH || !self.skip("<") {
            return None;
        }
        // AWS writes no `>` into values of attributes.
        let tag = self.until(">")?;
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |it| (it, true));
        let name = tag.split_ascii_whitespace().next()?;
        if !tag.starts_with(name) || !name.starts_with(|it: char| it.is_ascii_alphabetic()) {
            return None;
        }
        let mut element = Element { name, text: Cow::Borrowed(""), children: Vec::new() };
        if is_empty {
            return Some(element);
        }
        loop {
            let at = self.rest.find('<')?;
            let (text, rest) = self.rest.split_at(at);
            self.rest = rest;
            if self.rest.starts_with("</") {
                // White space around children is nobody's.
                if element.children.is_empty() {
                    element.text = unescape(text)?;
                }
                self.skip("</");
                return (self.until(">")?.trim_end() == name).then_some(element);
            }
            if self.skip("<!--") {
                self.until("-->")?;
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }
}

fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('&') {
        return Some(Cow::Borrowed(text));
    }
    let mut pieces = text.split('&');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let (entity, after) = piece.split_once(';')?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        out.push_str(after);
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_ec2_writes() {
        let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<R xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n  \
            <!-- a > b -->\n <a>x &amp; &lt;&#233;&#xe9;&quot;&gt;&apos;</a><empty/><set><item><b> 1 </b></item><other/>\
            <item><b>2</b></item></set></R>\n";
        let root = Element::parse(document).expect("a document");
        assert_eq!(root.name(), "R");
        assert_eq!(root.text(&["a"]), "x & <éé\">'");
        assert_eq!(root.text(&["empty"]), "");
        assert_eq!(root.text(&["set", "item", "b"]), " 1 ");
        let items: Vec<&str> = root.items("set").map(|it| it.text(&["b"])).collect();
        assert_eq!(items, [" 1 ", "2"]);
        assert_eq!(root.items("nowhere").count(), 0);
    }

    #[test]
    fn refuses_what_is_no_document() {
        for bad in [
            "",
            "x",
            "{}",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a>&nbsp;</a>",
            "<a>&#xd800;</a>",
            "<a>& </a>",
            "<!DOCTYPE html><a/>",
            "<a><![CDATA[x]]></a>",
            "< a/>",
            "</a>",
            "<a",
        ] {
            assert!(Element::parse(bad).is_none(), "{bad}");
        }
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(Element::parse(&deep(MAX_DEPTH)).is_some());
        assert!(Element::parse(&deep(MAX_DEPTH + 1)).is_none());
        assert!(Element::parse(&"<a>".repeat(1_000_000)).is_none());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[<>/a&;#x!?\\- ]{0,80}|\\PC{0,80}") {
            let _ = Element::parse(&text);
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let document = format!("<a>{escaped}</a>");
            let read = Element::parse(&document).expect("an element");
            prop_assert_eq!(read.text(&[]), text);
        }
    }
}
