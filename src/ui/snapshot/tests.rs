use super::*;
use crate::config::Config;
use crate::model::key::ServerId;
use crate::store::objects::ObjectEvent;
use crate::store::watch::FleetEvent;
use crate::ui::testing;
use crate::ui::theme::Theme;
use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::style::Style;
use tokio::sync::mpsc::Sender;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        testing::now()
    }
}

/// Answers questions about hosts from the made-up fleet; remembers the rest.
struct Answers {
    messages: Sender<Msg>,
    others: std::sync::Arc<std::sync::Mutex<Vec<Command>>>,
    silent: bool,
}

impl Executor for Answers {
    fn start(&mut self, command: Command) {
        match command {
            Command::ReadHost { generation, name, .. } if !self.silent => {
                let host =
                    testing::hosts().into_iter().find(|host| host["metadata"]["name"] == *name);
                let result = Ok(host.map(testing::object));
                self.messages.try_send(Msg::HostRead { generation, result }).unwrap();
            }
            other => self.others.lock().unwrap().push(other),
        }
    }
}

/// Takes a picture with these messages already waiting; the code, the picture, the complaint, and
/// the commands that nobody answered.
async fn picture(
    size: (u16, u16),
    keys: &str,
    waiting: Vec<Msg>,
    silent: bool,
    deadline: u64,
) -> (u8, String, String, Vec<Command>) {
    let (messages, mut receiver) = mpsc::channel(64);
    for msg in waiting {
        messages.try_send(msg).unwrap();
    }
    let others = std::sync::Arc::default();
    let answers = Answers { messages, others: std::sync::Arc::clone(&others), silent };
    let settings = testing::settings(Config::default());
    let model = Model::new(settings, testing::now(), size);
    let look = Theme::load("night", None).unwrap();
    let patience =
        Patience { quiet: Duration::from_millis(50), deadline: Duration::from_millis(deadline) };
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let code = Box::pin(take(
        (model, look, keys.parse().unwrap()),
        &mut receiver,
        answers,
        &Still,
        patience,
        (&mut out, &mut complaints),
    ))
    .await
    .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let others = others.lock().unwrap().clone();
    (code, text(out), text(complaints), others)
}

fn listed() -> Vec<Msg> {
    vec![
        Msg::User(ServerId::FIRST, Ok("ann".into())),
        Msg::May { server: ServerId::FIRST, verb: "patch", resource: "hosts", result: Ok(true) },
        Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }),
        Msg::Fleet(
            ServerId::FIRST,
            FleetEvent::Changes(testing::hosts().into_iter().map(testing::apply).collect()),
        ),
        Msg::Sources(ServerId::FIRST, ObjectEvent::Synced),
        Msg::Fleet(ServerId::FIRST, FleetEvent::Synced),
    ]
}

#[tokio::test]
async fn the_picture_is_the_screen_and_keys_change_it() {
    let (code, text, complaints, _) = picture((100, 12), "", listed(), false, 60_000).await;
    assert_eq!((code, complaints.as_str()), (EXIT_DONE, ""));
    assert_eq!(text, format!("{}\n", testing::screen(&testing::fleet(100, 12))));
    assert!(text.contains("9 hosts") && text.lines().count() == 12);

    let (_, text, ..) = picture((100, 12), "z R j j", listed(), false, 60_000).await;
    let mut model = testing::fleet(100, 12);
    for command in testing::press(&mut model, "zRjj") {
        if let Command::ReadHost { generation, name, .. } = command {
            let host = testing::hosts().into_iter().find(|h| h["metadata"]["name"] == *name);
            let result = Ok(host.map(testing::object));
            testing::send(&mut model, Msg::HostRead { generation, result });
        }
    }
    assert_eq!(text, format!("{}\n", testing::screen(&model)));
    let (_, text, ..) = picture((100, 30), "?", listed(), false, 60_000).await;
    assert!(text.contains("To the first line"), "{text}");
}

#[tokio::test]
async fn without_the_whole_list_or_an_answer_it_says_so() {
    let mut unfinished = listed();
    unfinished.pop();
    let (code, text, complaints, _) = picture((100, 12), "?", unfinished, false, 300).await;
    assert_eq!(code, EXIT_FAILED);
    assert!(complaints.contains("still changing after"), "{complaints}");
    assert!(text.contains("9 hosts") && !text.contains("To the first line"), "{text}");

    // The detail of the host under the cursor never comes.
    let (code, ..) = picture((100, 12), "z R j j", listed(), true, 1_000).await;
    assert_eq!(code, EXIT_FAILED);
}

#[tokio::test]
async fn nothing_is_copied_and_the_program_can_be_left() {
    let (code, _, _, others) = picture((80, 24), "c", listed(), false, 60_000).await;
    assert_eq!((code, others), (EXIT_DONE, Vec::new()));
    let (code, ..) = picture((80, 24), ": q enter j", listed(), false, 60_000).await;
    assert_eq!(code, EXIT_DONE);
}

#[test]
fn wide_characters_and_trailing_spaces() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
    buffer.set_string(0, 0, "a日本b", Style::default());
    assert_eq!(plain(&buffer), "a日本b\n");
}
