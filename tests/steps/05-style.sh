# sizes: ci full long
# The rules of the house that a program can check, over the tracked files.
source "$REPO/tests/steps/functions.bash"

# expect_none WHAT: passes when its input is empty, else shows it.
expect_none() {
  local found
  found=$(head -n 20)
  if [ -z "$found" ]; then
    case_ok "$1"
  else
    case_failed "$1"
    echo "$found"
  fi
}

sources() { git ls-files '*.cc' '*.h' '*.proto' '*.py' '*.sh' '*.ts' '*.js' '*.mjs' '*.css' '*.html'; }
existing() { while IFS= read -r file; do [ ! -f "$file" ] || echo "$file"; done; }
scripts() {
  git ls-files | existing | while IFS= read -r file; do
    case "$file" in
      *.sh | *.bash) echo "$file" ;;
      *.*) ;;
      *) if head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b'; then echo "$file"; fi ;;
    esac
  done
}

if [ "$(sources | existing | wc -l)" -gt 0 ]; then
  case_ok "git lists the sources"
else
  case_failed "git lists no source: every rule below would hold of nothing"
fi

sources | existing | xargs -r wc -l | awk '$2 != "total" && $1 > 450 {print $2 ": " $1 " lines"}' |
  expect_none "no source file is longer than 450 lines"

git ls-files | grep -E '(^|/|_)(utils?|helpers?|common|managers?|misc)(_test)?(\.[^/]*)?(/|$)' |
  expect_none "no file or folder has a name that says nothing"

git ls-files | cut -d/ -f1 | sort -u |
  grep -vxE 'CMakeLists\.txt|proto|server|core|client|tests|deploy|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md|\.[a-z-]+' |
  expect_none "the top level holds what the README's map says"

if [ -f README.md ]; then
  awk 'END {if (NR > 250) print NR " lines"}' README.md | expect_none "the README has at most 250 lines"
else
  case_failed "README.md is missing"
fi

git ls-files '*.cc' '*.h' | existing | while IFS= read -r file; do
  clang-format --dry-run -Werror "$file" >/dev/null 2>&1 || echo "$file: clang-format -i $file"
done | expect_none "C++ sources are formatted"

# clang-format 14 takes it for JavaScript and mangles the code that follows.
git grep -nE '^(import::|[^/]*\)\{import::)|^ +import::.*[;)&*]$' -- '*.h' '*.cc' |
  grep -vE '\.cc:[0-9]+:  ' |
  expect_none "no declaration begins with the namespace import"

scripts | while IFS= read -r file; do bash -n "$file" 2>&1; done |
  expect_none "scripts parse"

scripts | grep -vE '\.(sh|bash)$' | while IFS= read -r file; do
  [ -x "$file" ] || echo "$file"
done | expect_none "commands are executable"

# Written apart, so that this line is not its own finding.
git grep -nIE "(^|[^.[:alnum:]_\$}])/(wo""rk|fa""rm|ho""me/[a-z]+|ro""ot)/" -- . |
  expect_none "no path of one machine"

git grep -nE 'DISABLED_[A-Z]|sleep_for|SleepFor|usleep\(' -- 'tests/*.cc' 'tests/*.h' |
  expect_none "no test is switched off or sleeps"

git ls-files '*.cc' '*.h' | existing | xargs -r awk 'length($0) > 100 {print FILENAME ":" FNR}' |
  expect_none "no line is longer than 100 columns"

git grep -nE '^(<<<<<<<|>>>>>>>) ' -- . | expect_none "no merge marker"

finish_step
