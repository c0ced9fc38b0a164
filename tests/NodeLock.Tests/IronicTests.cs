using System.Reflection;
using System.Text.RegularExpressions;
using NodeLock.Tests.Conventions;
using Xunit;

namespace NodeLock.Tests;

/// <summary>The table in <c>Ironic.md</c> leaves nothing out and names no test that does not exist.</summary>
public sealed partial class IronicTests
{
    private static readonly string[] Upstream =
    [
        "test_excl_lock", "test_no_driver", "test_excl_nested_acquire", "test_excl_lock_exception_then_lock",
        "test_excl_lock_exception_no_retries", "test_excl_lock_upgade_exception_no_retries",
        "test_excl_lock_exception_patient", "test_excl_lock_reserve_exception", "test_excl_lock_get_ports_exception",
        "test_excl_lock_get_portgroups_exception", "test_excl_lock_get_volconn_exception",
        "test_excl_lock_get_voltgt_exception", "test_excl_lock_build_driver_exception", "test_shared_lock",
        "test_shared_lock_node_get_exception", "test_shared_lock_get_ports_exception",
        "test_shared_lock_get_portgroups_exception", "test_shared_lock_get_volconn_exception",
        "test_shared_lock_get_voltgt_exception", "test_shared_lock_build_driver_exception", "test_upgrade_lock",
        "test_upgrade_lock_refreshes_fsm", "test_spawn_after", "test_spawn_after_exception_while_yielded",
        "test_spawn_after_spawn_fails", "test_spawn_after_link_fails", "test_spawn_after_on_error_hook",
        "test_spawn_after_on_error_hook_exception", "test_init_prepares_fsm", "test_release_clears_resources",
        "test_process_event_fsm_raises", "test_process_event_sets_callback",
        "test_process_event_sets_callback_and_error_handler", "test_process_event_sets_target_state",
        "test_process_event_callback_stable_state", "test_process_event_no_callback_stable_state",
        "test_process_event_no_callback_notify", "test_with_excl_lock_task_first_arg",
        "test_with_excl_lock_task_second_arg", "test_with_shared_lock_task_first_arg",
        "test_with_shared_lock_task_second_arg", "test_set_node_last_error", "test_set_node_last_error_exists",
        "test_set_node_last_error_no_error", "test_set_node_last_error_cancelled", "test_notify_no_state_change",
        "test_notify_error_state", "test_notify_unstable_to_unstable", "test_notify_stable_to_unstable",
        "test_notify_unstable_to_stable", "test_notify_stable_to_stable", "test_notify_resource_released",
        "test_notify_only_once",
    ];

    private static readonly string[] Lines =
        File.ReadAllLines(Path.Combine(RepositoryRoot.Path, "tests", "NodeLock.Tests", "Ironic.md"));

    private static readonly string[] Rows = [.. Lines.Where(l => l.StartsWith("| ", StringComparison.Ordinal)
        && !l.EndsWith("| test here |", StringComparison.Ordinal))];

    [Fact]
    public void All_53_tests_of_Ironic_occur_once_in_their_order()
    {
        Assert.Equal(53, Upstream.Distinct().Count());
        Assert.Equal(Upstream, Rows.Select(r => UpstreamTest().Match(r)).Where(m => m.Success)
            .Select(m => m.Groups["name"].Value));
    }

    [Fact]
    public void Every_test_that_is_named_exists()
    {
        string[] named = [.. Rows.SelectMany(r => TestHere().Matches(r)).Select(m => m.Value.Trim('`')).Distinct()];

        Assert.True(named.Length > 40);
        Assert.DoesNotContain(named, n => !Exists(n));
    }

    [Fact]
    public void A_test_that_does_not_exist_would_be_found_out()
    {
        Assert.True(Exists("IronicTests.Every_test_that_is_named_exists"));
        Assert.False(Exists("IronicTests.A_test_that_is_not_there"));
        Assert.False(Exists("NobodyTests.Every_test_that_is_named_exists"));
    }

    [Fact]
    public void Every_row_names_a_test_or_says_why_not()
    {
        string[] reasons = ["drivers", "lazy resources", "the state machine", "notifications"];

        Assert.DoesNotContain(Rows, r => !TestHere().IsMatch(r) && !reasons.Any(why => r.Contains($"does not apply: {why}")));
    }

    private static bool Exists(string test)
    {
        string[] parts = test.Split('.');
        return typeof(IronicTests).Assembly.GetTypes().Where(t => t.Name == parts[0])
            .Select(t => t.GetMethod(parts[1])).Any(m => m?.GetCustomAttribute<FactAttribute>() is not null)
            || Directory.EnumerateFiles(Path.Combine(RepositoryRoot.Path, "tests", "NodeLock.EntityFrameworkCore.Tests"),
                $"{parts[0]}.cs", SearchOption.AllDirectories)
                .Any(file => File.ReadAllText(file).Contains($" {parts[1]}(", StringComparison.Ordinal));
    }

    [GeneratedRegex(@"^\| \d+ \| (?<name>test_\w+) \|", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex UpstreamTest();

    [GeneratedRegex("`[A-Z][A-Za-z]+Tests\\.[A-Z]\\w+`", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex TestHere();
}
