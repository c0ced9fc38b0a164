using System.Globalization;
using System.Text.Json;
using Xunit;

namespace NodeLock.Tests;

public sealed class NodeIdTests
{
    [Fact]
    public void Numbers_and_guids_become_ids_by_themselves()
    {
        NodeId fromInt = -42;
        NodeId fromLong = 9_000_000_000L;
        NodeId fromGuid = Guid.Parse("0F8FAD5B-D9CB-469F-A165-70867728950E");

        Assert.Equal("-42", fromInt.ToString());
        Assert.Equal("9000000000", fromLong.ToString());
        Assert.Equal("0f8fad5b-d9cb-469f-a165-70867728950e", fromGuid.ToString());
    }

    [Fact]
    public void Numbers_are_spelt_the_same_in_every_culture()
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        CultureInfo odd = new("sv-SE") { NumberFormat = { NegativeSign = "minus" } };
        try
        {
            CultureInfo.CurrentCulture = odd;
            Assert.Equal("-1", ((NodeId)(-1)).ToString());
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void Text_becomes_an_id_only_when_asked()
    {
        Assert.Equal("rack 7", ((NodeId)"rack 7").ToString());
        Assert.DoesNotContain(typeof(NodeId).GetMethods(), m => m.Name == "op_Implicit"
            && m.GetParameters()[0].ParameterType == typeof(string));
    }

    [Fact]
    public void Ids_are_equal_when_their_text_is()
    {
        Assert.Equal((NodeId)42, new NodeId("42"));
        Assert.NotEqual((NodeId)42, new NodeId("042"));
        Assert.NotEqual(new NodeId("a"), new NodeId("A"));
    }

    [Theory]
    [InlineData("a")]
    [InlineData("Node with spaces / and: signs")]
    [InlineData("\U0001F5A5 käse")]
    public void Text_of_these_forms_is_an_id(string text)
    {
        Assert.Equal(text, new NodeId(text).ToString());
        Assert.Equal(text, NodeId.Parse(text).ToString());
        Assert.True(NodeId.TryParse(text, out NodeId id));
        Assert.Equal(text, id.ToString());
    }

    [Theory]
    [InlineData(null, "empty")]
    [InlineData("", "empty")]
    [InlineData(" \t", "empty")]
    [InlineData("a\nb", "U+000A stands at 1")]
    [InlineData("ab\u0085", "U+0085 stands at 2")]
    [InlineData("\0", "U+0000 stands at 0")]
    public void Other_text_is_refused_with_the_reason(string? text, string reason)
    {
        ArgumentException made = Assert.Throws<ArgumentException>(() => new NodeId(text!));
        Assert.Equal("text", made.ParamName);
        Assert.Contains("node id", made.Message);
        Assert.Contains(reason, made.Message);
        Assert.Contains(reason, Assert.Throws<FormatException>(() => NodeId.Parse(text!)).Message);
        Assert.False(NodeId.TryParse(text, out NodeId id));
        Assert.True(id.IsDefault);
    }

    [Theory]
    [InlineData(new[] { 'a', '\uD83D' })]
    [InlineData(new[] { '\uDDA5', 'a' })]
    [InlineData(new[] { '\uD83D', '\uD83D', '\uDDA5' })]
    public void Half_a_character_is_refused(char[] text)
    {
        Assert.Contains("Unicode", Assert.Throws<ArgumentException>(() => new NodeId(new string(text))).Message);
        Assert.False(NodeId.TryParse(new string(text), out _));
    }

    [Fact]
    public void An_id_has_at_most_200_characters()
    {
        Assert.Equal(200, new NodeId(new string('x', NodeId.MaxLength)).ToString().Length);

        string message = Assert.Throws<ArgumentException>(() => new NodeId(new string('x', 201))).Message;
        Assert.Contains("200", message);
        Assert.Contains("201", message);
    }

    [Fact]
    public void The_interface_for_route_values_parses_the_same()
    {
        Assert.Equal((NodeId)7, Parse<NodeId>("7"));
        Assert.Throws<FormatException>(() => Parse<NodeId>(""));
        Assert.True(TryParse("7", out NodeId id));
        Assert.Equal((NodeId)7, id);
        Assert.False(TryParse<NodeId>(null, out _));

        static T Parse<T>(string text) where T : IParsable<T> => T.Parse(text, CultureInfo.InvariantCulture);
        static bool TryParse<T>(string? text, out T result) where T : IParsable<T> =>
            T.TryParse(text, CultureInfo.InvariantCulture, out result!);
    }

    [Fact]
    public void In_json_an_id_is_its_text()
    {
        NodeId id = new("rack \"7\"");

        string json = JsonSerializer.Serialize(new { Id = id });

        Assert.Equal("rack \"7\"", JsonDocument.Parse(json).RootElement.GetProperty("Id").GetString());
        Assert.Equal(id, JsonSerializer.Deserialize<Dictionary<string, NodeId>>(json)!["Id"]);
    }

    [Fact]
    public void An_id_may_be_the_key_of_a_json_object()
    {
        Dictionary<NodeId, int> powers = new() { [1] = 10, [new NodeId("b")] = 20 };

        string json = JsonSerializer.Serialize(powers);

        Assert.Equal("""{"1":10,"b":20}""", json);
        Assert.Equal(powers, JsonSerializer.Deserialize<Dictionary<NodeId, int>>(json));
    }

    [Theory]
    [InlineData("\"\"")]
    [InlineData("42")]
    [InlineData("null")]
    [InlineData("\"a\\nb\"")]
    public void Json_that_is_no_id_is_refused(string json) =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<NodeId>(json));

    [Fact]
    public void The_default_is_refused_by_json()
    {
        Assert.Throws<ArgumentException>(() => JsonSerializer.Serialize(default(NodeId)));
        Assert.Throws<ArgumentException>(() => JsonSerializer.Serialize(new Dictionary<NodeId, int> { [default] = 1 }));
    }

    [Fact]
    public async Task The_default_is_refused_by_every_method_that_takes_an_id()
    {
        await using World world = new();
        Func<Task>[] calls =
        [
            async () => await world.Manager.AcquireAsync(default, "test"),
            async () => await world.Manager.AcquireAsync(default, new AcquireOptions { Purpose = "test" }),
            async () => await world.Manager.TryAcquireAsync(default, "test"),
            async () => await world.Manager.GetReservationAsync(default),
        ];

        foreach (Func<Task> call in calls)
        {
            ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(call);
            Assert.Equal("nodeId", e.ParamName);
            Assert.Contains("default(NodeId)", e.Message);
        }

        Assert.Empty(world.Way.Requests);
    }

    [Fact]
    public void The_default_has_no_text()
    {
        Assert.True(default(NodeId).IsDefault);
        Assert.False(new NodeId("a").IsDefault);
        Assert.Equal("", default(NodeId).ToString());
    }
}
