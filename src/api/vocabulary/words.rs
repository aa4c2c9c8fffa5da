//! What makes the tables of words: each word has a meaning and a remedy.

/// Adds what every word has to an enum: its text, its meaning, its remedy, and a list of all.
macro_rules! words {
    ($name:ident { $($word:ident: $meaning:literal, $remedy:literal;)+ }) => {
        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word, as it stands in objects.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word)),+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$word => $meaning),+ }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$word => $remedy),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// As [`words`], and makes the enum.
macro_rules! word_enum {
    ($(#[$doc:meta])+ $name:ident { $($word:ident: $meaning:literal, $remedy:literal;)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = $meaning] $word),+ }

        $crate::api::vocabulary::words::words!($name { $($word: $meaning, $remedy;)+ });
    };
}

pub(super) use {word_enum, words};
