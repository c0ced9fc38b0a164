using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace NodeLock.Tests.Conventions;

/// <summary>The names of types as C# writes them.</summary>
internal static class ApiNames
{
    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(void)] = "void",
        [typeof(object)] = "object",
        [typeof(string)] = "string",
        [typeof(bool)] = "bool",
        [typeof(int)] = "int",
        [typeof(long)] = "long",
        [typeof(double)] = "double",
        [typeof(byte)] = "byte",
        [typeof(char)] = "char",
        [typeof(short)] = "short",
        [typeof(decimal)] = "decimal",
        [typeof(float)] = "float",
    };

    public static string Of(Type type)
    {
        if (Keywords.TryGetValue(type, out string? keyword)) return keyword;
        if (type.IsByRef) return Of(type.GetElementType()!);
        if (type.IsArray) return $"{Of(type.GetElementType()!)}[{new string(',', type.GetArrayRank() - 1)}]";
        if (Nullable.GetUnderlyingType(type) is { } value) return $"{Of(value)}?";
        return type.IsGenericParameter ? type.Name : Nested(type);
    }

    /// <summary>With the question marks of what may be null.</summary>
    public static string Of(NullabilityInfo annotated)
    {
        Type type = annotated.Type.IsByRef ? annotated.Type.GetElementType()! : annotated.Type;
        bool isValue = type.IsValueType || type.IsGenericParameter;
        string name = annotated.ElementType is { } element && type.IsArray ? $"{Of(element)}[]"
            : annotated.GenericTypeArguments.Length > 0 && Nullable.GetUnderlyingType(type) is null
                ? $"{Simple(type)}<{string.Join(", ", annotated.GenericTypeArguments.Select(Of))}>"
                : Of(type);
        return name + (!isValue && annotated.ReadState == NullabilityState.Nullable ? "?" : "");
    }

    /// <summary>With the types around it, without the namespace.</summary>
    public static string Nested(Type type) =>
        type is { IsNested: true, IsGenericParameter: false } ? $"{Nested(type.DeclaringType!)}.{WithArguments(type)}"
            : WithArguments(type);

    public static string Simple(Type type) => type.Name.Split('`')[0];

    public static string GenericArguments(MethodInfo method) =>
        method.IsGenericMethod ? $"<{string.Join(", ", method.GetGenericArguments().Select(Of))}>" : "";

    public static string Constraints(MethodInfo method) => string.Concat((method.IsGenericMethod
            ? method.GetGenericArguments() : []).Select(a => (a.Name, Must: string.Join(", ", Constraints(a))))
        .Where(c => c.Must != "").Select(c => $" where {c.Name} : {c.Must}"));

    private static IEnumerable<string> Constraints(Type argument)
    {
        GenericParameterAttributes kinds = argument.GenericParameterAttributes;
        if (kinds.HasFlag(GenericParameterAttributes.ReferenceTypeConstraint)) yield return "class";
        foreach (Type type in argument.GetGenericParameterConstraints()) yield return Of(type);
        if (kinds.HasFlag(GenericParameterAttributes.DefaultConstructorConstraint)) yield return "new()";
    }

    private static string WithArguments(Type type) =>
        Simple(type) + (type.IsGenericType ? $"<{string.Join(", ", type.GetGenericArguments().Select(Of))}>" : "");
}

/// <summary>Parameters and constants as C# writes them.</summary>
internal static class ApiParameters
{
    public static string Of(MethodBase method)
    {
        bool extension = method.IsDefined(typeof(ExtensionAttribute), inherit: false);
        return $"({(extension ? "this " : "")}{string.Join(", ", method.GetParameters().Select(Of))})";
    }

    public static string Value(object? value, Type type) => value switch
    {
        null => type.IsValueType && Nullable.GetUnderlyingType(type) is null ? "default" : "null",
        string text => $"\"{text}\"",
        bool truth => truth ? "true" : "false",
        _ when type.IsEnum => $"{ApiNames.Of(type)}.{Enum.ToObject(type, value)}",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    private static string Of(ParameterInfo parameter)
    {
        string way = parameter.IsOut ? "out " : parameter.IsIn ? "in " : parameter.ParameterType.IsByRef ? "ref " : "";
        string list = parameter.IsDefined(typeof(ParamArrayAttribute), inherit: false) ? "params " : "";
        string value = parameter.HasDefaultValue ? $" = {Value(parameter.DefaultValue, parameter.ParameterType)}" : "";
        string type = ApiNames.Of(new NullabilityInfoContext().Create(parameter));
        return $"{list}{way}{type} {parameter.Name}{value}";
    }
}
