//! Reads an answer's tokens while it goes by, whatever its length and however it is cut: the `usage` of a stream's events
//! (Messages API, "Streaming"), or of one JSON object. Of everything else nothing is kept.

use serde::Deserialize;

use super::Usage;

/// Longest text that is kept at a time, bytes. What has the figures is far shorter.
const KEPT_MAX_BYTES: usize = 64 * 1024;
/// An answer that breaks off counts one token of output for so many bytes of what was written.
const BYTES_PER_TOKEN: u64 = 4;

/// The figures of one answer, as far as it has gone by.
#[derive(Default)]
pub struct Meter {
    is_stream: bool,
    usage: Usage,
    /// The last word about the output was heard.
    is_complete: bool,
    /// Bytes of events that carry output.
    written: u64,
    /// A stream's line as far as it has come, where it may have figures.
    line: Vec<u8>,
    /// Where the line is: at its beginning, or in what is not kept.
    skips: bool,
    /// What the stream says of the event that it is at.
    event: Event,
    object: Object,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Event {
    /// Not said: each event says it of itself, too.
    #[default]
    Unnamed,
    /// One with figures.
    Figures,
    /// One with output.
    Output,
    Other,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
struct Said {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Told {
    r#type: String,
    message: Option<Message>,
    usage: Option<Said>,
}

#[derive(Deserialize)]
struct Message {
    usage: Option<Said>,
}

impl Meter {
    /// Of an answer of this media type.
    pub fn of(content_type: &str) -> Self {
        let is_stream = content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
        Self { is_stream, ..Self::default() }
    }

    /// The next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        if !self.is_stream {
            self.object.take(bytes);
            return;
        }
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|it| *it == b'\n') {
            self.keep(&rest[..at]);
            self.end_line();
            rest = &rest[at + 1..];
        }
        self.keep(rest);
    }

    /// What it came to; `None` where nothing was said of tokens.
    pub fn finish(mut self) -> Option<Usage> {
        if !self.is_stream {
            let said: Said = serde_json::from_slice(self.object.found()?).ok()?;
            self.hear(said);
        } else if !self.is_complete {
            self.usage.output = self.usage.output.max(self.written / BYTES_PER_TOKEN);
        }
        (self.usage != Usage::default()).then_some(self.usage)
    }

    fn keep(&mut self, part: &[u8]) {
        if self.line.is_empty() && !self.skips && !part.is_empty() {
            // Of the output not even a copy is made.
            let is_data = part[0] == b'd' && matches!(self.event, Event::Output | Event::Other);
            self.skips = is_data;
        }
        if self.event == Event::Output {
            self.written += part.len() as u64;
        }
        if self.line.len() + part.len() > KEPT_MAX_BYTES {
            self.skips = true;
        }
        if self.skips {
            self.line.clear();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let skipped = std::mem::take(&mut self.skips);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        if text.is_empty() && !skipped {
            self.event = Event::Unnamed;
        } else if let Some(name) = text.strip_prefix(b"event:") {
            self.event = match name.trim_ascii() {
                b"message_start" | b"message_delta" => Event::Figures,
                b"content_block_delta" => Event::Output,
                _ => Event::Other,
            };
        } else if let Some(data) = text.strip_prefix(b"data:") {
            self.figures(data);
        }
        self.line = line;
        self.line.clear();
    }

    fn figures(&mut self, data: &[u8]) {
        let Ok(told) = serde_json::from_slice::<Told>(data) else { return };
        match told.r#type.as_str() {
            "message_start" => self.hear(told.message.and_then(|it| it.usage).unwrap_or_default()),
            "message_delta" => {
                let Some(usage) = told.usage else { return };
                self.is_complete |= usage.output_tokens.is_some();
                self.hear(usage);
            }
            "content_block_delta" => self.written += data.len() as u64,
            _ => {}
        }
    }

    /// Later figures are of the whole answer, as the earlier ones were.
    fn hear(&mut self, said: Said) {
        let Usage { input, output, cache_write, cache_read } = &mut self.usage;
        for (figure, said) in [
            (input, said.input_tokens),
            (output, said.output_tokens),
            (cache_write, said.cache_creation_input_tokens),
            (cache_read, said.cache_read_input_tokens),
        ] {
            *figure = said.unwrap_or(*figure);
        }
    }
}

/// Finds the member `usage` of a JSON object, and not one of that name further inside.
#[derive(Default)]
struct Object {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// The string at the first level that began last, as far as it may be the name.
    name: Vec<u8>,
    is_wanted: bool,
    value: Vec<u8>,
}

impl Object {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) {
        let was_top = self.depth == 1 && !self.in_string;
        if self.in_string {
            if self.is_escaped {
                self.is_escaped = false;
            } else if byte == b'\\' {
                self.is_escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            if self.in_string && self.depth == 1 && self.name.len() < 8 {
                self.name.push(byte);
            }
        } else {
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.name.clear();
                }
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if was_top && byte == b':' {
            self.is_wanted = self.name == b"usage";
            if self.is_wanted {
                self.value.clear();
            }
        } else if was_top && matches!(byte, b',' | b'}') {
            self.is_wanted = false;
        } else if self.is_wanted && self.value.len() < KEPT_MAX_BYTES {
            self.value.push(byte);
        }
    }

    fn found(&self) -> Option<&[u8]> {
        (!self.value.is_empty()).then_some(self.value.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const STREAM: &str = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"msg_1","content":[],"usage":{"input_tokens":25,"#,
        r#""cache_creation_input_tokens":7,"cache_read_input_tokens":1000,"output_tokens":1}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"usage\":{\"output_tokens\":0}"}}"#,
        "\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );

    fn metered(content_type: &str, chunks: &[&[u8]]) -> Option<Usage> {
        let mut meter = Meter::of(content_type);
        for chunk in chunks {
            meter.take(chunk);
        }
        meter.finish()
    }

    fn of_stream(text: &str) -> Option<Usage> {
        metered("text/event-stream; charset=utf-8", &[text.as_bytes()])
    }

    const WHOLE: Usage = Usage { input: 25, output: 15, cache_write: 7, cache_read: 1000 };

    #[test]
    fn a_streams_figures_are_those_of_its_first_and_last_event() {
        assert_eq!(of_stream(STREAM), Some(WHOLE));
        assert_eq!(of_stream(&STREAM.replace('\n', "\r\n")), Some(WHOLE));
        let unnamed: String = STREAM.split_inclusive('\n').filter(|it| !it.starts_with("event:")).collect();
        assert_eq!(of_stream(&unnamed), Some(WHOLE), "events say what they are themselves");
    }

    #[test]
    fn later_figures_replace_earlier_ones() {
        let more = STREAM.replace(
            r#""usage":{"output_tokens":15}"#,
            r#""usage":{"input_tokens":400,"output_tokens":90,"cache_read_input_tokens":null}"#,
        );
        assert_eq!(of_stream(&more), Some(Usage { input: 400, output: 90, ..WHOLE }));
    }

    #[test]
    fn what_breaks_off_counts_by_its_length() {
        let end = STREAM.find("event: content_block_stop").expect("an event");
        let delta = STREAM[..end].lines().rfind(|it| it.starts_with("data: ")).expect("a line").len() as u64;
        assert_eq!(of_stream(&STREAM[..end]), Some(Usage { output: delta / 4, ..WHOLE }));
        let first = STREAM.find("event: content_block_start").expect("an event");
        assert_eq!(of_stream(&STREAM[..first]), Some(Usage { output: 1, ..WHOLE }));
        assert_eq!(of_stream(&STREAM[..30]), None);
        assert_eq!(of_stream(""), None);
    }

    #[test]
    fn long_lines_are_not_kept() {
        let mut meter = Meter::of("text/event-stream");
        meter.take(b"data: ");
        for _ in 0..1000 {
            meter.take(&[b'x'; 1000]);
            assert!(meter.line.capacity() <= 2 * KEPT_MAX_BYTES);
        }
        meter.take(b"\n\n");
        meter.take(STREAM.as_bytes());
        assert_eq!(meter.finish(), Some(WHOLE));
    }

    #[test]
    fn a_whole_answer_has_its_figures_at_its_first_level() {
        let inside = json!({"input_tokens": 1, "output_tokens": 0});
        let answer = json!({
            "type": "message", "a": {"usage": inside}, "usage": {"input_tokens": 25, "output_tokens": 15,
            "cache_creation_input_tokens": 7, "cache_read_input_tokens": 1000, "server_tool_use": {"web_search_requests": 0}},
            "content": [{"type": "tool_use", "input": {"usage": inside}}, {"type": "text", "text": "\"usage\":{\"input_tokens\":3}"}, inside],
            "zusage": inside,
        });
        for text in [answer.to_string(), serde_json::to_string_pretty(&answer).expect("JSON")] {
            assert_eq!(metered("application/json", &[text.as_bytes()]), Some(WHOLE), "{text}");
        }
        for text in [
            r#"{"usage":null}"#,
            "{}",
            "",
            "[]",
            r#"{"usage":{}}"#,
            "usage",
            r#"{"a":{"usage":{"input_tokens":9}}}"#,
        ] {
            assert_eq!(metered("application/json", &[text.as_bytes()]), None, "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u32>().prop_map(Value::from),
            "[a-z\"\\\\{}:,\\[\\] ]{0,12}|usage".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("usage|[a-z\"\\\\]{0,6}", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_it_is_cut(cuts in prop::collection::vec(1_usize..60, 1..40)) {
            let (mut rest, mut chunks) = (STREAM.as_bytes(), Vec::new());
            for cut in cuts.iter().cycle() {
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(metered("text/event-stream", &chunks), Some(WHOLE));
        }

        #[test]
        fn it_finds_in_an_object_what_a_reader_of_json_finds(object in prop::collection::btree_map("usage|[a-z\"]{0,5}", any_json(), 0..5)) {
            let whole = Value::Object(object.into_iter().collect());
            let mut found = Object::default();
            found.take(whole.to_string().as_bytes());
            let value: Option<Value> = found.found().and_then(|it| serde_json::from_slice(it).ok());
            prop_assert_eq!(value.as_ref(), whole.get("usage"));
        }

        #[test]
        fn no_answer_panics(text in "\\PC{0,200}|(data: ?|event: ?|\\n|\\{|\"usage\":|[0-9]){0,40}") {
            let _ = of_stream(&text);
            let _ = metered("application/json", &[text.as_bytes()]);
        }
    }
}
