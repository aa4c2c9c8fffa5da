# The formula for Homebrew on Linux. scripts/release.sh fills in the values in @.
class Poolkeeper < Formula
  desc "Keeps pools of warm workers and assigns tasks to them"
  homepage "https://github.com/poolkeeper/poolkeeper"
  version "@VERSION@"
  license "Apache-2.0"

  depends_on :linux

  on_intel do
    url "@URL@/poolkeeper-@VERSION@-linux-x86_64.tar.gz"
    sha256 "@SUM_linux_x86_64@"
  end
  on_arm do
    url "@URL@/poolkeeper-@VERSION@-linux-aarch64.tar.gz"
    sha256 "@SUM_linux_aarch64@"
  end

  def install
    bin.install "bin/poolkeeper"
    man1.install Dir["share/man/man1/*"]
    bash_completion.install "share/bash-completion/completions/poolkeeper"
    zsh_completion.install "share/zsh/site-functions/_poolkeeper"
    fish_completion.install "share/fish/vendor_completions.d/poolkeeper.fish"
  end

  test do
    assert_equal "poolkeeper #{version}", shell_output("#{bin}/poolkeeper --version").strip
  end
end
