using System.Globalization;
using Xunit;

namespace NodeLock.EntityFrameworkCore.Tests;

public sealed class NodeKeyTests
{
    [Theory]
    [InlineData(typeof(int), "42", "42")]
    [InlineData(typeof(int), "042", "42")]
    [InlineData(typeof(int), "-7", "-7")]
    [InlineData(typeof(int), "-0", "0")]
    [InlineData(typeof(int), "2147483647", "2147483647")]
    [InlineData(typeof(long), "2147483648", "2147483648")]
    [InlineData(typeof(long), "-9223372036854775808", "-9223372036854775808")]
    [InlineData(typeof(string), "Rack 7/Ä", "Rack 7/Ä")]
    [InlineData(typeof(string), "042", "042")]
    [InlineData(typeof(Guid), "0E984725-C51C-4BF4-9960-E1C80E27ABA0", "0e984725-c51c-4bf4-9960-e1c80e27aba0")]
    [InlineData(typeof(Guid), "{0e984725-c51c-4bf4-9960-e1c80e27aba0}", "0e984725-c51c-4bf4-9960-e1c80e27aba0")]
    [InlineData(typeof(Guid), "0e984725c51c4bf49960e1c80e27aba0", "0e984725-c51c-4bf4-9960-e1c80e27aba0")]
    public void Every_spelling_of_a_key_becomes_the_databases_own(Type type, string text, string expected)
    {
        NodeKey key = new(type, "nodelock_server");

        object value = key.Parse(text);

        Assert.IsType(type, value);
        Assert.Equal(expected, key.Format(value));
    }

    [Theory]
    [InlineData(typeof(int), "abc", "an integer of 32 bits")]
    [InlineData(typeof(int), "2147483648", "an integer of 32 bits")]
    [InlineData(typeof(int), "-2147483649", "an integer of 32 bits")]
    [InlineData(typeof(int), "1e3", "an integer of 32 bits")]
    [InlineData(typeof(int), "1,000", "an integer of 32 bits")]
    [InlineData(typeof(int), " 1", "an integer of 32 bits")]
    [InlineData(typeof(int), "", "an integer of 32 bits")]
    [InlineData(typeof(long), "9223372036854775808", "an integer of 64 bits")]
    [InlineData(typeof(Guid), "bm-01", "a UUID")]
    public void A_text_that_is_no_key_is_refused_by_name(Type type, string text, string expected)
    {
        NodeKey key = new(type, "nodelock_server");

        ArgumentException refusal = Assert.Throws<ArgumentException>(() => key.Parse(text));

        Assert.Contains($"Node id '{text}' is not {expected}, the key type of table nodelock_server.", refusal.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_of_another_type_is_not_spelled()
    {
        Assert.Throws<ArgumentException>(() => new NodeKey(typeof(int), "nodelock_server").Format(42L));
    }

    [Fact]
    public void The_culture_of_the_thread_does_not_spell_keys()
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = new CultureInfo("fa-IR") { NumberFormat = { NegativeSign = "~" } };
        try
        {
            NodeKey key = new(typeof(int), "nodelock_server");

            Assert.Equal("-42", key.Format(key.Parse("-42")));
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }
}
